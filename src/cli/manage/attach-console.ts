/** `vexit attach`: this terminal as the console of a VM that runs in the background. */
import type { ManagedVm } from '../../manage/managed-vm.js';
import { KILLED_STATUS } from '../../manage/reap.js';
import type { VmExit } from '../../manage/records.js';
import { Vexit } from '../../manage/vexit.js';
import { FrameType, decodeJson, encodeFrame, encodeJson, writeData } from '../../manage/frames.js';
import { ATTACH_HELP, EscapeFilter, type EscapeAction } from '../escape-filter.js';
import { terminalSize } from '../console-connection.js';

/**
 * Connects standard input and output until the VM ends or the person leaves.
 * @returns the exit status: that of the VM when it has ended
 */
export async function attachConsole(vm: ManagedVm): Promise<number> {
  const connection = await vm.attach();
  const { socket } = connection;
  const { stdin, stdout } = process;
  const interactive = stdin.isTTY && stdout.isTTY;
  const left = new AbortController();
  const act = (action: EscapeAction): void => {
    if (action === 'help') process.stderr.write(`\r\n${ATTACH_HELP}\r\n`);
    else if (action === 'detach') left.abort();
    else if (action === 'power') socket.write(encodeFrame(FrameType.Power));
    else void vm.kill().catch(() => socket.destroy());
  };
  const filter = new EscapeFilter(act, true);
  const sendSize = (): void => {
    const size = terminalSize();
    if (size !== undefined) socket.write(encodeJson(size));
  };
  if (interactive) {
    process.stderr.write('vexit: Ctrl-a d leaves, Ctrl-a h helps\r\n');
    stdin.setRawMode(true);
    process.on('exit', () => stdin.setRawMode(false));
    stdout.on('resize', sendSize);
    sendSize();
  }
  stdin.on('data', (bytes: Buffer) => {
    const input = interactive ? filter.filter(bytes) : bytes;
    if (input.length > 0 && !writeData(socket, FrameType.Data, input)) {
      stdin.pause();
      socket.once('drain', () => stdin.resume());
    }
  });
  stdin.on('error', () => undefined);
  left.signal.addEventListener('abort', () => socket.destroy());
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  // A VM that says nothing about its end was killed.
  let status = KILLED_STATUS;
  connection.receive((frame) => {
    if (frame.type === FrameType.Json) status = statusIn(decodeJson(frame));
    if (frame.type !== FrameType.Data || stdout.write(frame.payload)) return;
    socket.pause();
    stdout.once('drain', () => socket.resume());
  });
  await closed;
  if (interactive) stdin.setRawMode(false);
  stdin.destroy();
  if (left.signal.aborted) return 0;
  return status;
}

function statusIn({ exit }: { readonly exit?: unknown }): number {
  return (exit as VmExit).status;
}

/** The same for a VM by its name; sets the exit status. */
export async function attachTo(name: string): Promise<void> {
  process.exitCode = await attachConsole(new Vexit().get(name));
}
