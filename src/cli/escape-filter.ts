/** The escape key of an interactive console: Ctrl-a, then a letter. */

const ESCAPE = 0x01;

/** What the person asked for with the escape key. */
export type EscapeAction = 'quit' | 'help' | 'power';

const ACTIONS = new Map<number, EscapeAction>(
  [
    ['x', 'quit'],
    ['h', 'help'],
    ['?', 'help'],
    ['p', 'power'],
  ].map(([key, action]) => [key!.charCodeAt(0), action as EscapeAction]),
);

export const ESCAPE_HELP = [
  'Ctrl-a x  switch the VM off and quit',
  'Ctrl-a p  press the power button',
  'Ctrl-a h  this help',
  'Ctrl-a Ctrl-a  send Ctrl-a to the guest',
].join('\r\n');

/** Takes the escape sequences out of what is typed. */
export class EscapeFilter {
  private escaped = false;

  /** @param onAction called for each sequence, in order */
  constructor(private readonly onAction: (action: EscapeAction) => void) {}

  /** The bytes that go to the guest. A key after Ctrl-a that means nothing goes with it. */
  filter(input: Uint8Array): Buffer {
    const out: number[] = [];
    for (const byte of input) {
      if (!this.escaped) {
        if (byte === ESCAPE) this.escaped = true;
        else out.push(byte);
        continue;
      }
      this.escaped = false;
      const action = ACTIONS.get(byte);
      if (action !== undefined) this.onAction(action);
      else if (byte === ESCAPE) out.push(ESCAPE);
      else out.push(ESCAPE, byte);
    }
    return Buffer.from(out);
  }
}
