/** A program that runs in the guest. */
import os from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { VexitError } from '../util/errors.js';
import { GuestFrame, HostFrame } from './frames.js';
import { brokenConnection } from './guest-error.js';
import { Operation, abortedError, type AgentConnector } from './operation.js';
import { OUTPUT_WINDOW, ProcessInput, ProcessOutput } from './process-streams.js';
import { environmentRecords, type AgentRecord } from './records.js';

/** Settings of {@link GuestAgent.exec}. */
export interface ExecOptions {
  /** Environment added to the guest's own (PATH, HOME, USER, SHELL), NAME to value. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory; default `/`. */
  readonly cwd?: string;
  /** "name", "name:group", "uid" or "uid:gid"; default: who the agent is, root. */
  readonly user?: string;
  /** Gives the program a terminal of this size; standard error then goes to standard output. */
  readonly tty?: { readonly rows: number; readonly cols: number };
  /** Kills the program and gives the operation up. */
  readonly signal?: AbortSignal;
}

/** How a program ended; one of the two is there. */
export interface GuestExit {
  /** Exit status, or null when a signal ended it. */
  readonly status: number | null;
  /** The signal's name, or number where this host has no name for it; null when it exited. */
  readonly signal: NodeJS.Signals | number | null;
}

const SIGNAL_NAMES = new Map(
  Object.entries(os.constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);
/** `kind` of EXIT. */
const SIGNALLED = 1;
const STDOUT = 1;
const STDERR = 2;

function creditFrame(stream: number, bytes: number): Buffer {
  const payload = Buffer.alloc(5);
  payload.writeUInt8(stream, 0);
  payload.writeUInt32LE(bytes, 1);
  return payload;
}

function execRecords(argv: readonly string[], options: ExecOptions): AgentRecord[] {
  const { env, cwd, user, tty } = options;
  if (argv.length === 0 || argv[0] === '') {
    throw new VexitError('ERR_CONFIG', 'no program to run in the guest', 'give its name');
  }
  const records: AgentRecord[] = [['op', 'exec'], ...argv.map((arg): AgentRecord => ['arg', arg])];
  records.push(...environmentRecords(env));
  if (cwd !== undefined) records.push(['cwd', cwd]);
  if (user !== undefined) records.push(['user', user]);
  if (tty !== undefined) {
    records.push(['tty', '1'], ['rows', String(tty.rows)], ['cols', String(tty.cols)]);
  }
  return records;
}

/** Number of a signal. @throws VexitError ERR_CONFIG for a name that is none */
function signalNumber(signal: NodeJS.Signals | number): number {
  const number =
    typeof signal === 'number'
      ? signal
      : (os.constants.signals as Readonly<Record<string, number>>)[signal];
  if (number !== undefined && Number.isInteger(number) && number >= 1 && number <= 64)
    return number;
  throw new VexitError('ERR_CONFIG', `${signal} is not a signal`, 'give a name such as SIGTERM');
}

/**
 * A program in the guest, with its streams. A stream that is not read holds the program up when it has
 * written 256 KiB, and nothing else. When the connection breaks, the streams end and {@link wait} rejects.
 */
export class GuestProcess {
  /** What the program reads; end it for an end of file. */
  readonly stdin: Writable;
  /** What it writes; with a terminal all of its output. */
  readonly stdout: Readable;
  /** What it writes to standard error; ends at once with a terminal. */
  readonly stderr: Readable;
  private readonly input = new ProcessInput((bytes) => this.send(HostFrame.Stdin, bytes));
  private readonly out = this.output(STDOUT);
  private readonly err = this.output(STDERR);
  private operation: Operation | undefined;
  private processId = 0;
  private exit: GuestExit | undefined;
  private outputs = 2;
  private readonly started: PromiseWithResolvers;
  private readonly exited: PromiseWithResolvers;
  private readonly onAbort: () => void;

  private constructor(private readonly signal: AbortSignal | undefined) {
    this.stdin = this.input;
    this.stdout = this.out;
    this.stderr = this.err;
    this.started = withResolvers();
    this.exited = withResolvers();
    this.onAbort = () => {
      this.send(HostFrame.Signal, Uint8Array.of(os.constants.signals.SIGKILL));
      this.operation?.finish(abortedError(signal!));
    };
  }

  /** @internal use {@link GuestAgent.exec} */
  static async start(
    connect: AgentConnector,
    argv: readonly string[],
    options: ExecOptions,
  ): Promise<GuestProcess> {
    const { signal } = options;
    const process = new GuestProcess(signal);
    const listener = {
      onFrame: (type: GuestFrame, payload: Buffer) => process.onFrame(type, payload),
      onEnd: (error: VexitError | undefined) => process.onEnd(error),
    };
    process.operation = await Operation.start(
      connect,
      execRecords(argv, options),
      listener,
      signal,
    );
    for (const stream of [STDOUT, STDERR]) {
      process.send(HostFrame.Credit, creditFrame(stream, OUTPUT_WINDOW));
    }
    if (signal?.aborted === true) process.onAbort();
    else signal?.addEventListener('abort', process.onAbort);
    await process.started.promise;
    return process;
  }

  /** Its process id in the guest. */
  get pid(): number {
    return this.processId;
  }

  /** Tells its terminal a new size. */
  resize(cols: number, rows: number): void {
    const size = Buffer.alloc(4);
    size.writeUInt16LE(rows & 0xffff, 0);
    size.writeUInt16LE(cols & 0xffff, 2);
    this.send(HostFrame.Resize, size);
  }

  /**
   * Sends a signal to its process group, with a terminal to the foreground group.
   * @throws VexitError ERR_CONFIG for what is not a signal
   */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): void {
    this.send(HostFrame.Signal, Uint8Array.of(signalNumber(signal)));
  }

  /**
   * Resolves when the program has ended; its last output may still be unread.
   * @throws VexitError ERR_AGENT when the connection breaks before; ERR_ABORTED
   */
  async wait(): Promise<GuestExit> {
    await this.exited.promise;
    return this.exit!;
  }

  /** Leaves the program: it gets SIGHUP if it still runs. */
  close(): void {
    this.operation?.finish(brokenConnection('was left'));
  }

  private output(stream: number): ProcessOutput {
    return new ProcessOutput((bytes) => this.send(HostFrame.Credit, creditFrame(stream, bytes)));
  }

  private send(type: HostFrame, payload: Uint8Array): void {
    this.operation?.send(type, payload);
  }

  private onFrame(type: GuestFrame, payload: Buffer): void {
    switch (type) {
      case GuestFrame.Ready:
        this.processId = payload.length >= 4 ? payload.readUInt32LE(0) : 0;
        this.started.resolve();
        break;
      case GuestFrame.Stdout:
        this.onOutput(this.out, payload);
        break;
      case GuestFrame.Stderr:
        this.onOutput(this.err, payload);
        break;
      case GuestFrame.Credit:
        if (payload.length >= 4) this.input.addCredit(payload.readUInt32LE(0));
        break;
      case GuestFrame.Exit:
        this.onExit(payload[0], payload[1]);
        break;
      default:
        // Frames of later agents: nothing to do.
        break;
    }
  }

  private onOutput(output: ProcessOutput, bytes: Buffer): void {
    if (!output.deliver(bytes)) {
      this.operation?.finish(brokenConnection('sent more than it was granted'));
    } else if (bytes.length === 0) {
      output.end();
      this.outputs--;
      this.finishIfDone();
    }
  }

  private onExit(kind = 0, value = 0): void {
    if (this.exit !== undefined) return;
    this.exit =
      kind === SIGNALLED
        ? { status: null, signal: SIGNAL_NAMES.get(value) ?? value }
        : { status: value, signal: null };
    this.input.discard();
    this.exited.resolve();
    this.finishIfDone();
  }

  private finishIfDone(): void {
    if (this.exit !== undefined && this.outputs <= 0) this.operation?.finish();
  }

  private onEnd(error: VexitError | undefined): void {
    this.signal?.removeEventListener('abort', this.onAbort);
    this.input.discard();
    this.out.end();
    this.err.end();
    const reason = error ?? brokenConnection('ended the connection');
    this.started.reject(reason);
    this.exited.reject(reason);
  }
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: VexitError) => void;
}

/** A promise that nobody has to look at. */
function withResolvers(): PromiseWithResolvers {
  let resolve: () => void = () => undefined;
  let reject: (error: VexitError) => void = resolve;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
