/** The escape key of an interactive console: Ctrl-a, then a letter. */

const ESCAPE = 0x01;
const DETACH = 'd'.charCodeAt(0);

/** What the person asked for with the escape key. */
export type EscapeAction = 'quit' | 'help' | 'power' | 'detach';

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

export const ATTACH_HELP = `Ctrl-a d  leave the VM running and quit\r\n${ESCAPE_HELP}`;

/** Takes the escape sequences out of what is typed. */
export class EscapeFilter {
  private escaped = false;

  /**
   * @param onAction called for each sequence, in order
   * @param detachable Ctrl-a d is one of them
   */
  constructor(
    private readonly onAction: (action: EscapeAction) => void,
    private readonly detachable = false,
  ) {}

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
      const action = this.detachable && byte === DETACH ? 'detach' : ACTIONS.get(byte);
      if (action !== undefined) this.onAction(action);
      else if (byte === ESCAPE) out.push(ESCAPE);
      else out.push(ESCAPE, byte);
    }
    return Buffer.from(out);
  }
}
