/**
 * What the handlers of requests share: the file system, the tables of nodes and files, the buffers,
 * and how a result becomes an answer.
 */
import { errno, errnoOf, fsError } from '../errors.js';
import type { Awaitable, CacheMode, Entry, FileSystem, OpenFile } from '../file-system.js';
import { MessageReader } from '../fuse/message-reader.js';
import { OUT_HEADER_BYTES } from '../fuse/protocol.js';
import { ReplyWriter, type Validity } from '../fuse/reply-writer.js';
import type { FuseRequest } from '../fuse/request.js';
import { IoVectors } from '../io-vectors.js';
import { FileTable, type ServedFile } from './file-table.js';
import { LockWaiters } from './lock-waiters.js';
import { NodeTable } from './node-table.js';

/** Settings of a server. */
export interface FuseServerOptions {
  /** Refuse whatever would change something. */
  readonly readOnly?: boolean;
  /** `auto` unless given. */
  readonly cache?: CacheMode;
  /** Take locks in the file system, where others see them, instead of in the guest alone. */
  readonly locks?: 'guest' | 'shared';
  /** The most nodes the guest may know at a time; 524288. */
  readonly maxNodes?: number;
  /** The most files it may have open; 16384. */
  readonly maxFiles?: number;
  /** Takes lines about what a file system does wrong. */
  readonly warn?: (line: string) => void;
}

const DEFAULT_MAX_NODES = 2 ** 19;
const DEFAULT_MAX_FILES = 2 ** 14;

/** Seconds a guest may keep what it has been told. */
const VALIDITY: Readonly<Record<CacheMode, Validity>> = {
  none: { entry: 0, attributes: 0 },
  auto: { entry: 1, attributes: 1 },
  always: { entry: 86400, attributes: 86400 },
};

function isPromise<T>(value: Awaitable<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function';
}

/** @throws FsError ENOSYS when the file system has no such method */
export function requires<F extends FileSystem, K extends keyof FileSystem>(
  fs: F,
  method: K,
): asserts fs is F & Required<Pick<FileSystem, K>> {
  if (fs[method] === undefined) throw fsError('ENOSYS');
}

/** State of a server. */
export class Session<Node extends object = object, Handle = unknown> {
  readonly reader: MessageReader;
  readonly reply: ReplyWriter;
  readonly vectors = new IoVectors();
  readonly nodes: NodeTable<Node>;
  readonly files: FileTable<Node, Handle>;
  readonly waiters: LockWaiters<Node, Handle>;
  readonly cache: CacheMode;
  readonly validity: Validity;
  readonly readOnly: boolean;
  readonly sharedLocks: boolean;
  /** INIT has been answered. */
  initialized = false;
  /** The guest has accepted FUSE_WRITEBACK_CACHE. */
  writeback = false;
  /** Changes with each reset: answers that come after it are nobody's. */
  generation = 0;
  /** Requests that wait for a promise. */
  pending = 0;

  constructor(
    readonly fs: FileSystem<Node, Handle>,
    options: FuseServerOptions = {},
  ) {
    const raw = fs.names === 'bytes';
    this.reader = new MessageReader(raw);
    this.reply = new ReplyWriter(raw);
    this.nodes = new NodeTable(fs.root, options.maxNodes ?? DEFAULT_MAX_NODES);
    this.files = new FileTable(options.maxFiles ?? DEFAULT_MAX_FILES);
    this.cache = options.cache ?? 'auto';
    this.validity = VALIDITY[this.cache];
    this.readOnly = options.readOnly ?? false;
    this.sharedLocks = options.locks === 'shared' && fs.lock !== undefined;
    this.warn = options.warn ?? (() => undefined);
    this.waiters = new LockWaiters(this);
  }

  private readonly warn: (line: string) => void;

  /** Answers with a body of so many bytes that has been encoded. */
  send(request: FuseRequest, length: number): void {
    const { reply } = this;
    if (request.sink.length < OUT_HEADER_BYTES + length) {
      this.sendError(request, errno.EIO);
      return;
    }
    reply.header(request, length, 0);
    request.complete(reply.send(request, length));
  }

  /** Answers with an errno. */
  sendError(request: FuseRequest, number: number): void {
    if (request.sink.length < OUT_HEADER_BYTES) {
      request.complete(0);
      return;
    }
    this.reply.header(request, 0, number);
    request.complete(this.reply.send(request, 0));
  }

  /** Answers for what has been thrown. */
  fail(request: FuseRequest, error: unknown): void {
    const number = errnoOf(error);
    if (number === undefined) {
      const text = error instanceof Error ? error.message : String(error);
      this.warn(`operation ${request.opcode} of a shared file system failed: ${text}`);
    }
    this.sendError(request, number ?? errno.EIO);
  }

  /**
   * Answers with what a method of the file system returns, now or later. `encode` writes the body
   * and returns its length; `giveBack` takes what comes when nobody is there any more.
   */
  settle<T>(
    request: FuseRequest,
    value: Awaitable<T>,
    encode: (value: T) => number,
    giveBack?: (value: T) => void,
  ): void {
    if (!isPromise(value)) this.send(request, encode(value));
    else this.later(request, value, (done) => this.send(request, encode(done)), giveBack);
  }

  /** The same for a method without a result. */
  settleEmpty(request: FuseRequest, value: Awaitable<unknown>): void {
    if (isPromise(value)) this.later(request, value, () => this.send(request, 0));
    else this.send(request, 0);
  }

  /** Calls `use` with a value, now or later; for results that are no body. */
  settleWith<T>(request: FuseRequest, value: Awaitable<T>, use: (value: T) => void): void {
    if (isPromise(value)) this.later(request, value, use);
    else use(value);
  }

  private later<T>(
    request: FuseRequest,
    value: Promise<T>,
    use: (value: T) => void,
    giveBack?: (value: T) => void,
  ): void {
    const { generation } = this;
    this.pending++;
    value.then(
      (result) => {
        const back = (): void => giveBack?.(result);
        this.resume(request, generation, () => use(result), back);
      },
      (error: unknown) => this.resume(request, generation, () => this.fail(request, error)),
    );
  }

  /** Nothing is written for a guest that has been reset since: its memory is not the same any more. */
  private resume(
    request: FuseRequest,
    generation: number,
    answer: () => void,
    giveBack?: () => void,
  ): void {
    this.pending--;
    const isStale = generation !== this.generation || request.isAbandoned();
    try {
      if (isStale) giveBack?.();
      else answer();
    } catch (error) {
      if (!isStale) this.fail(request, error);
    }
    if (isStale) request.complete(0);
  }

  node(request: FuseRequest): Node {
    return this.nodes.get(request.nodeId);
  }

  /** The file that a handle names. */
  file(handle: number): ServedFile<Node, Handle> {
    return this.files.get(handle, false);
  }

  /** The open file of a request that may name one, such as GETATTR. */
  optionalFile(named: boolean, handle: number): OpenFile<Node, Handle> | undefined {
    return named ? this.files.get(handle, false) : undefined;
  }

  /** Encodes an entry that the guest knows from now on. */
  encodeEntry(entry: Entry<Node>): number {
    return this.reply.entry(0, this.remember(entry.node), entry.attributes, this.validity);
  }

  /** The number of a node that the guest is given. */
  remember(node: Node): number {
    try {
      return this.nodes.remember(node);
    } catch (error) {
      this.fs.forget?.(node);
      throw error;
    }
  }

  /**
   * Something new is about to be made: nothing is, when the guest could not be told of it.
   * @throws FsError EINVAL or ENFILE
   */
  needNode(request: FuseRequest, bytes: number): void {
    this.needRoom(request, bytes);
    if (this.nodes.full) throw fsError('ENFILE');
  }

  /** @throws FsError EINVAL when the answer will not fit, so that nothing happens for nothing */
  needRoom(request: FuseRequest, bytes: number): void {
    if (request.sink.length < OUT_HEADER_BYTES + bytes) throw fsError('EINVAL');
  }

  /** Answers with an entry. */
  settleEntry(request: FuseRequest, value: Awaitable<Entry<Node>>): void {
    const giveBack = ({ node }: Entry<Node>): void => this.giveBack(node);
    this.settle(request, value, (entry) => this.encodeEntry(entry), giveBack);
  }

  /** A node that the guest was to be given. It may know it from elsewhere. */
  giveBack(node: Node): void {
    if (!this.nodes.knows(node)) this.fs.forget?.(node);
  }

  /** Closes a file that has been taken out of the table. */
  release(file: ServedFile<Node, Handle>): void {
    this.fs.release?.(file);
    if (!file.directory) this.waiters.changed(file.node);
  }

  /** All nodes forgotten, all files closed; what is still going on will answer nobody. */
  reset(): void {
    this.generation++;
    this.initialized = false;
    this.writeback = false;
    this.waiters.clear();
    for (const file of this.files.clear()) this.release(file);
    this.nodes.clear();
    this.fs.reset?.();
  }
}
