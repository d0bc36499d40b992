/** Files and directories of a guest, over the agent. */
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, stat as hostStat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { VexitError, systemCode } from '../util/errors.js';
import { GuestFrame, HostFrame, VSOCK_PAYLOAD_MAX } from './frames.js';
import { brokenConnection } from './guest-error.js';
import { Operation, abortedError, type AgentConnector } from './operation.js';
import { decodeRecords, type AgentRecord } from './records.js';

/** What a path of the guest leads to. Links are followed. */
export interface GuestFileStat {
  readonly type: 'file' | 'directory' | 'other';
  /** Permissions, 0 to 0o7777. */
  readonly mode: number;
  /** Bytes. */
  readonly size: number;
  readonly mtime: Date;
  readonly uid: number;
  readonly gid: number;
}

/** A file of the guest that is being read. */
export interface GuestFile {
  readonly stat: GuestFileStat;
  /** Fails when the connection breaks. */
  readonly content: Readable;
}

/** Settings of files that are made. */
export interface PutOptions {
  /** Permissions; default 0o644. */
  readonly mode?: number;
  readonly mtime?: Date;
  /** Who owns it: "name", "uid", "uid:gid"...; default: root. */
  readonly user?: string;
  /** Gives the operation up. */
  readonly signal?: AbortSignal;
}

/** Settings of copying. */
export type CopyOptions = Pick<PutOptions, 'user' | 'signal'>;

/** What a file is made of. */
export type FileContent = Uint8Array | string | AsyncIterable<Uint8Array>;

function parseStat(said: Map<string, string>): GuestFileStat {
  const number = (key: string, limit: number): number => {
    const value = Number(said.get(key) ?? NaN);
    return value >= 0 && value <= limit ? value : 0;
  };
  const type = said.get('type');
  return {
    type: type === 'file' || type === 'directory' ? type : 'other',
    mode: Math.floor(number('mode', 0o7777)),
    size: Math.floor(number('size', Number.MAX_SAFE_INTEGER)),
    mtime: new Date(number('mtime', 2 ** 40) * 1000),
    uid: number('uid', 2 ** 32),
    gid: number('gid', 2 ** 32),
  };
}

/** Bytes that an operation brings, as a stream; the operation is over when they are. */
class Incoming extends Readable {
  operation: Operation | undefined;
  private complete = false;

  constructor() {
    super({ highWaterMark: 256 * 1024 });
    // Who reads learns of it; nobody else has to.
    this.on('error', () => undefined);
  }

  accept(bytes: Buffer): void {
    if (bytes.length === 0) {
      this.complete = true;
      this.push(null);
    } else if (!this.complete && !this.push(bytes)) {
      this.operation?.pause();
    }
  }

  /** The connection is over. */
  leave(error: VexitError | undefined): void {
    if (!this.complete) this.destroy(error ?? brokenConnection('ended the connection'));
  }

  override _read(): void {
    this.operation?.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.operation?.finish();
    callback(error);
  }
}

/** Operations on files; paths of the guest are absolute. */
export class GuestFiles {
  /** @param connect opens a connection to the agent's port */
  constructor(protected readonly connect: AgentConnector) {}

  /** Asks for bytes: resolves with the first answer when they begin. */
  private open(
    records: readonly AgentRecord[],
    begins: GuestFrame | undefined,
    signal?: AbortSignal,
  ): Promise<{ said: Map<string, string>; content: Readable }> {
    const content = new Incoming();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => content.operation?.finish(abortedError(signal!));
      const listener = {
        onFrame: (type: GuestFrame, payload: Buffer): void => {
          if (type === GuestFrame.Result) resolve({ said: decodeRecords(payload), content });
          if (type !== GuestFrame.Stdout) return;
          if (begins === GuestFrame.Stdout) resolve({ said: new Map(), content });
          content.accept(payload);
        },
        onEnd: (error: VexitError | undefined): void => {
          signal?.removeEventListener('abort', onAbort);
          content.leave(error);
          reject(error ?? brokenConnection('ended the connection'));
        },
      };
      Operation.start(this.connect, records, listener, signal).then((operation) => {
        content.operation = operation;
        if (signal?.aborted === true) onAbort();
        else signal?.addEventListener('abort', onAbort);
      }, reject);
    });
  }

  /** Sends bytes with a request, and waits for the answer. */
  private async send(
    records: readonly AgentRecord[],
    content: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<void> {
    let failed: VexitError | undefined;
    let done = false;
    let wake: () => void = () => undefined;
    const changed = (): Promise<void> => new Promise((resolve) => (wake = resolve));
    let begun = false;
    const listener = {
      onFrame: (type: GuestFrame): void => {
        if (type === GuestFrame.Ready) begun = true;
        if (type === GuestFrame.Result) done = true;
        wake();
      },
      onEnd: (error: VexitError | undefined): void => {
        if (!done) failed = error ?? brokenConnection('ended the connection');
        wake();
      },
    };
    const state = (): { done: boolean; failed: VexitError | undefined; begun: boolean } => ({
      done,
      failed,
      begun,
    });
    const operation = await Operation.start(this.connect, records, listener, signal);
    const onAbort = (): void => operation.finish(abortedError(signal!));
    signal?.addEventListener('abort', onAbort);
    try {
      while (!state().begun && !operation.ended) await changed();
      for await (const bytes of content) {
        for (let at = 0; at < bytes.length && !operation.ended; at += VSOCK_PAYLOAD_MAX) {
          operation.send(HostFrame.Stdin, bytes.subarray(at, at + VSOCK_PAYLOAD_MAX));
          await operation.drained();
        }
        if (operation.ended) break;
      }
      operation.send(HostFrame.Stdin);
      while (!state().done && !operation.ended) await changed();
    } finally {
      signal?.removeEventListener('abort', onAbort);
      // Without its end, what was sent is not made a file.
      operation.finish();
    }
    if (!state().done) throw state().failed ?? brokenConnection('ended the connection');
  }

  /** What is at a path. @throws VexitError ERR_AGENT; `error.cause.code` "ENOENT" when nothing is */
  async stat(file: string, { signal }: CopyOptions = {}): Promise<GuestFileStat> {
    const records: AgentRecord[] = [
      ['op', 'stat'],
      ['path', file],
    ];
    const { said, content } = await this.open(records, undefined, signal);
    content.destroy();
    return parseStat(said);
  }

  /** Reads a file. */
  async getFile(file: string, { signal }: CopyOptions = {}): Promise<GuestFile> {
    const records: AgentRecord[] = [
      ['op', 'get'],
      ['path', file],
    ];
    const { said, content } = await this.open(records, undefined, signal);
    return { stat: parseStat(said), content };
  }

  /** Makes or replaces a file: all of it, or not at all. */
  putFile(file: string, content: FileContent, options: PutOptions = {}): Promise<void> {
    const { mode = 0o644, mtime, user, signal } = options;
    const records: AgentRecord[] = [
      ['op', 'put'],
      ['path', file],
      ['mode', String(mode)],
    ];
    if (mtime !== undefined && mtime.getTime() >= 0) {
      const ms = mtime.getTime();
      records.push(['mtime', String(Math.floor(ms / 1000))]);
      records.push(['nanoseconds', String(Math.floor((ms % 1000) * 1e6))]);
    }
    if (user !== undefined) records.push(['user', user]);
    return this.send(records, iterable(content), signal);
  }

  /** What is below a directory, as a tar archive. Sockets, devices and pipes are left out. */
  async packDirectory(directory: string, { signal }: CopyOptions = {}): Promise<Readable> {
    const records: AgentRecord[] = [
      ['op', 'pack'],
      ['path', directory],
    ];
    return (await this.open(records, GuestFrame.Stdout, signal)).content;
  }

  /** Unpacks a tar archive into a directory, which is made if it is not there. */
  unpackArchive(
    directory: string,
    archive: AsyncIterable<Uint8Array>,
    { user, signal }: CopyOptions = {},
  ): Promise<void> {
    const records: AgentRecord[] = [
      ['op', 'unpack'],
      ['path', directory],
    ];
    if (user !== undefined) records.push(['user', user]);
    return this.send(records, archive, signal);
  }

  /** Copies a file or a directory of the host into the guest; into a directory that is there. */
  async copyIn(from: string, to: string, options: CopyOptions = {}): Promise<void> {
    const info = await hostStat(from).catch((error: unknown) => {
      throw new VexitError('ERR_CONFIG', `cannot read ${from}: ${systemCode(error) ?? 'error'}`);
    });
    const target = await this.guestTarget(from, to, options);
    if (info.isFile()) {
      const { mode, mtime } = info;
      const rest = { ...options, mode: mode & 0o7777, mtime };
      await this.putFile(target, createReadStream(from), rest);
    } else if (info.isDirectory()) {
      const { create } = await import('tar');
      const filter = (_path: string, entry: unknown): boolean => {
        const stats = entry as {
          isFile(): boolean;
          isDirectory(): boolean;
          isSymbolicLink(): boolean;
        };
        return stats.isFile() || stats.isDirectory() || stats.isSymbolicLink();
      };
      const archive = create({ cwd: from, portable: true, filter }, ['.']);
      await this.unpackArchive(target, archive as AsyncIterable<Uint8Array>, options);
    } else {
      throw new VexitError('ERR_CONFIG', `${from} is neither a file nor a directory`);
    }
  }

  private async guestTarget(from: string, to: string, options: CopyOptions): Promise<string> {
    try {
      const { type } = await this.stat(to, options);
      return type === 'directory' ? path.posix.join(to, path.basename(path.resolve(from))) : to;
    } catch (error) {
      if (systemCode((error as Error).cause) === 'ENOENT') return to;
      throw error;
    }
  }

  /**
   * Copies a file or a directory out of the guest; into a directory that is there. Owners, and bits that
   * give programs rights, are not taken over, and nothing is written outside of the target.
   */
  async copyOut(from: string, to: string, options: CopyOptions = {}): Promise<void> {
    const { type, mode, mtime } = await this.stat(from, options);
    const there = await hostStat(to).catch(() => undefined);
    const inside = there?.isDirectory() === true;
    const target = path.resolve(inside ? path.join(to, path.posix.basename(from)) : to);
    const parent = path.dirname(target);
    const work = await mkdtemp(path.join(parent, '.vexit-')).catch((error: unknown) => {
      throw new VexitError(
        'ERR_CONFIG',
        `cannot write to ${parent}: ${systemCode(error) ?? 'error'}`,
      );
    });
    const made = path.join(work, 'copy');
    try {
      if (type === 'directory') {
        await mkdir(made);
        await extract(await this.packDirectory(from, options), made);
      } else {
        const { content } = await this.getFile(from, options);
        await pipeline(content, createWriteStream(made, { flags: 'wx', mode: 0o600 }));
        await utimes(made, mtime, mtime);
      }
      await chmod(made, mode & 0o777);
      await rename(made, target);
    } catch (error) {
      const code = systemCode(error);
      if (error instanceof VexitError || code === undefined) throw error;
      const hint = code === 'ENOTEMPTY' || code === 'EISDIR' ? 'remove it first' : undefined;
      throw new VexitError('ERR_CONFIG', `cannot write ${target}: ${code}`, hint);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
}

async function* iterable(content: FileContent): AsyncGenerator<Uint8Array> {
  if (typeof content === 'string') yield Buffer.from(content);
  else if (content instanceof Uint8Array) yield content;
  else yield* content;
}

/** Unpacks what a guest sent. The package refuses paths and links that lead out of the directory. */
async function extract(archive: Readable, cwd: string): Promise<void> {
  const { Unpack } = await import('tar');
  const allowed = new Set(['File', 'OldFile', 'ContiguousFile', 'Directory', 'SymbolicLink']);
  const unpack = new Unpack({
    cwd,
    strict: false,
    preserveOwner: false,
    filter: (_path, entry) => 'type' in entry && allowed.has(entry.type),
    onReadEntry: (entry) => {
      entry.mode = (entry.mode ?? 0) & 0o777;
    },
  });
  const done = new Promise<void>((resolve, reject) => {
    unpack.on('close', () => resolve());
    unpack.on('error', reject);
  });
  done.catch(() => undefined);
  for await (const bytes of archive) {
    if (!unpack.write(bytes as Buffer))
      await new Promise((resolve) => unpack.once('drain', resolve));
  }
  unpack.end();
  await done;
}
