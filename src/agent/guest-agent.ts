/** What the library can ask of the agent that serves vsock in a guest; see docs/agent.md. */
import type { Readable } from 'node:stream';
import { VexitError, errorMessage } from '../util/errors.js';
import { untilReached } from './attempts.js';
import { GuestFrame } from './frames.js';
import { GuestFiles } from './guest-files.js';
import { GuestProcess, type ExecOptions, type GuestExit } from './guest-process.js';
import { brokenConnection } from './guest-error.js';
import { Operation, abortedError } from './operation.js';
import { decodeRecords, type AgentRecord } from './records.js';

/** What all operations take. */
export interface AgentOptions {
  /** Gives the operation up. */
  readonly signal?: AbortSignal;
}

/** Settings of {@link GuestAgent.run}. */
export interface RunOptions extends ExecOptions {
  /** What the program reads; default: nothing. */
  readonly input?: string | Uint8Array;
  /** Bytes that each of the two streams may have; more is an error. Default 16 MiB. */
  readonly maxOutput?: number;
}

/** How a program ended and what it said. */
export interface RunResult extends GuestExit {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** What a guest says of itself: not to be trusted more than the guest is. */
export interface GuestInfo {
  /** Of the agent's protocol. */
  readonly version: number;
  readonly hostname: string;
  /** "Linux 6.1.0". */
  readonly kernel: string;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  /** Bytes that programs could still get. */
  readonly memoryAvailable: number;
  readonly processes: number;
  /** Seconds. */
  readonly uptime: number;
  /** The guest's clock. */
  readonly time: Date;
}

/** What to mount where. */
export interface GuestMount extends AgentOptions {
  /** A virtio-fs tag, or a device such as `/dev/vdb`. */
  readonly source: string;
  /** Absolute; made if it is not there. */
  readonly target: string;
  /** Default `virtiofs`. */
  readonly type?: string;
  readonly readOnly?: boolean;
  /** Options of the file system, as mount(2) takes them. */
  readonly options?: string;
}

/** How the guest ends. */
export interface ShutdownOptions extends AgentOptions {
  /** Does not let the guest's init end programs and unmount in order: syncs and ends. */
  readonly force?: boolean;
}

const DEFAULT_MAX_OUTPUT = 16 * 2 ** 20;
/** How long a guest may take for an operation that is one answer. */
const ANSWER_MS = 300_000;

/** Collects a stream up to a limit. */
function collect(stream: Readable, limit: number, onExcess: () => void): Buffer[] {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (bytes: Buffer) => {
    length += bytes.length;
    if (length > limit) onExcess();
    else chunks.push(bytes);
  });
  return chunks;
}

/** The agent of a guest. Operations are independent of each other; there may be many at once. */
export class GuestAgent extends GuestFiles {
  /**
   * Waits until the agent answers.
   * @throws VexitError ERR_ABORTED by the signal; ERR_STATE when there is no VM that runs
   */
  async ready(signal?: AbortSignal): Promise<void> {
    await untilReached(async () => {
      try {
        return await this.info(signal === undefined ? {} : { signal });
      } catch (error) {
        if (signal?.aborted === true) throw abortedError(signal);
        const again =
          error instanceof VexitError && ['ERR_VSOCK', 'ERR_AGENT'].includes(error.code);
        if (!again) throw error;
        return undefined;
      }
    }, signal);
  }

  /**
   * Starts a program; there is no shell unless you run one.
   * @param argv program and arguments; the program is looked for in PATH
   * @throws VexitError ERR_AGENT when it cannot be started: `error.cause.code` is "ENOENT" and the like
   */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<GuestProcess> {
    return GuestProcess.start(this.connect, argv, options);
  }

  /**
   * Runs a program to its end and collects what it says.
   * @throws VexitError ERR_AGENT when it cannot be started, or says too much: it is killed then
   */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { input, maxOutput = DEFAULT_MAX_OUTPUT, ...rest } = options;
    const process = await this.exec(argv, rest);
    let excess = false;
    const onExcess = (): void => {
      excess = true;
      process.kill('SIGKILL');
      process.close();
    };
    const [stdout, stderr] = [process.stdout, process.stderr].map((stream) => ({
      chunks: collect(stream, maxOutput, onExcess),
      ended: new Promise((resolve) => stream.once('close', resolve)),
    })) as [Collected, Collected];
    process.stdin.end(input);
    try {
      const exit = await process.wait();
      await Promise.all([stdout.ended, stderr.ended]);
      // Both have ended, but perhaps because of this.
      if (!isExcess(excess)) {
        const text = { stdout: Buffer.concat(stdout.chunks), stderr: Buffer.concat(stderr.chunks) };
        return { ...exit, ...text };
      }
    } catch (error) {
      if (!isExcess(excess)) throw error;
    }
    throw new VexitError(
      'ERR_AGENT',
      `${argv[0]} in the guest wrote more than ${maxOutput} bytes`,
      'read the streams of exec instead',
    );
  }

  /** What the guest says of itself. */
  async info(options: AgentOptions = {}): Promise<GuestInfo> {
    const said = await this.call([['op', 'info']], options);
    const text = (key: string): string => (said.get(key) ?? '').slice(0, 256);
    const number = (key: string): number => {
      const value = Number(said.get(key) ?? NaN);
      return Number.isFinite(value) && value >= 0 ? value : 0;
    };
    return {
      version: number('version'),
      hostname: text('hostname'),
      kernel: text('kernel'),
      cpus: number('cpus'),
      memory: number('memory'),
      memoryAvailable: number('available'),
      processes: number('processes'),
      uptime: number('uptime'),
      time: new Date(number('time') * 1000),
    };
  }

  /** Mounts a shared directory or a device in the guest. */
  async mount(mount: GuestMount): Promise<void> {
    const { source, target, type = 'virtiofs', readOnly, options } = mount;
    const records: AgentRecord[] = [
      ['op', 'mount'],
      ['source', source],
      ['target', target],
      ['type', type],
    ];
    if (readOnly === true) records.push(['readonly', '1']);
    if (options !== undefined) records.push(['options', options]);
    await this.call(records, mount);
  }

  /** Sets the guest's clock; default: to the host's time. */
  async setTime(time?: Date, options: AgentOptions = {}): Promise<void> {
    const ms = (time ?? new Date()).getTime();
    if (!(ms >= 0)) throw new VexitError('ERR_CONFIG', 'not a time that a guest can have');
    const seconds = Math.floor(ms / 1000);
    const nanoseconds = Math.floor((ms - seconds * 1000) * 1e6);
    await this.call(
      [
        ['op', 'time'],
        ['seconds', String(seconds)],
        ['nanoseconds', String(nanoseconds)],
      ],
      options,
    );
  }

  /** Lets the guest power off. Resolves when it has begun: wait for the VM's end. */
  powerOff(options: ShutdownOptions = {}): Promise<void> {
    return this.shutdown('poweroff', options);
  }

  /** Lets the guest reboot. Resolves when it has begun. */
  reboot(options: ShutdownOptions = {}): Promise<void> {
    return this.shutdown('reboot', options);
  }

  private async shutdown(how: string, options: ShutdownOptions): Promise<void> {
    const records: AgentRecord[] = [
      ['op', 'shutdown'],
      ['how', how],
    ];
    if (options.force === true) records.push(['force', '1']);
    await this.call(records, options);
  }

  /** An operation whose answer is one RESULT. */
  private call(
    records: readonly AgentRecord[],
    { signal }: AgentOptions,
  ): Promise<Map<string, string>> {
    return new Promise((resolve, reject) => {
      let operation: Operation | undefined;
      const onAbort = (): void => operation?.finish(abortedError(signal!));
      const timer = setTimeout(
        () => operation?.finish(brokenConnection('does not answer')),
        ANSWER_MS,
      );
      timer.unref();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const listener = {
        onFrame: (type: GuestFrame, payload: Buffer): void => {
          if (type !== GuestFrame.Result) return;
          resolve(decodeRecords(payload));
          operation?.finish();
        },
        onEnd: (error: VexitError | undefined): void => {
          done();
          reject(error ?? brokenConnection('gave no answer'));
        },
      };
      Operation.start(this.connect, records, listener, signal).then(
        (started) => {
          operation = started;
          if (signal?.aborted === true) onAbort();
          else signal?.addEventListener('abort', onAbort);
        },
        (error: unknown) => {
          done();
          reject(error instanceof Error ? error : new Error(errorMessage(error)));
        },
      );
    });
  }
}

interface Collected {
  readonly chunks: Buffer[];
  readonly ended: Promise<unknown>;
}

/** Set by an event meanwhile, which the compiler does not expect. */
function isExcess(excess: boolean): boolean {
  return excess;
}
