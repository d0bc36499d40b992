/** The guest's side of FUSE: encodes requests into guest memory of the real kind, decodes answers. */
import { DescriptorChain } from '../../../src/devices/virtio/queue/descriptor-chain.js';
import { GuestRam } from '../../../src/devices/virtio/queue/guest-ram.js';
import { errno } from '../../../src/fs/errors.js';
import { Opcode } from '../../../src/fs/fuse/protocol.js';
import { FuseRequest } from '../../../src/fs/fuse/request.js';
import { GuestMemory } from '../../../src/memory/guest-memory.js';

export const RAM = 4 * 2 ** 20;
const REQUEST_AT = 0x1000;
const REPLY_AT = 2 * 2 ** 20;
export const ROOT = 1;

export interface Handler {
  handle(request: FuseRequest): void;
}

export interface Reply {
  /** 0, or an errno. */
  error: number;
  body: Buffer;
}

export interface Attr {
  ino: bigint;
  size: number;
  blocks: number;
  atime: number;
  mtime: number;
  mtimeNs: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
}

export interface EntryOut extends Attr {
  nodeId: number;
  entryValid: number;
}

export interface Dirent {
  name: string;
  ino: bigint;
  offset: bigint;
  type: number;
  entry?: EntryOut;
}

/** An answer that is an error. */
export class ReplyError extends Error {
  readonly code: string;
  constructor(readonly number: number) {
    const name = Object.entries(errno).find(([, value]) => value === number)?.[0] ?? `${number}`;
    super(name);
    this.code = name;
  }
}

export interface Header {
  nodeId?: number | bigint;
  uid?: number;
  gid?: number;
  pid?: number;
  unique?: bigint;
  /** For a header that lies. */
  length?: number;
}

/** Fields of a structure: 32-bit numbers, 64-bit ones as bigint, strings with their NUL, bytes. */
export type Field = number | bigint | string | Uint8Array;

export function encode(...fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === 'string') return Buffer.from(`${field}\0`, 'utf8');
      if (typeof field === 'bigint') {
        const bytes = Buffer.alloc(8);
        bytes.writeBigUInt64LE(BigInt.asUintN(64, field));
        return bytes;
      }
      if (typeof field !== 'number') return Buffer.from(field);
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(field >>> 0);
      return bytes;
    }),
  );
}

export function header(opcode: number, bodyLength: number, given: Header = {}): Buffer {
  const { nodeId = ROOT, uid = 0, gid = 0, pid = 1, unique = 0x1_0000_0001n } = given;
  const length = given.length ?? 40 + bodyLength;
  return encode(length, opcode, unique, BigInt(nodeId), uid, gid, pid, 0);
}

export function decodeAttr(bytes: Buffer, at: number): Attr {
  return {
    ino: bytes.readBigUInt64LE(at),
    size: Number(bytes.readBigUInt64LE(at + 8)),
    blocks: Number(bytes.readBigUInt64LE(at + 16)),
    atime: Number(bytes.readBigInt64LE(at + 24)),
    mtime: Number(bytes.readBigInt64LE(at + 32)),
    mtimeNs: bytes.readUInt32LE(at + 52),
    mode: bytes.readUInt32LE(at + 60),
    nlink: bytes.readUInt32LE(at + 64),
    uid: bytes.readUInt32LE(at + 68),
    gid: bytes.readUInt32LE(at + 72),
    rdev: bytes.readUInt32LE(at + 76),
  };
}

export function decodeEntry(bytes: Buffer, at = 0): EntryOut {
  return {
    nodeId: Number(bytes.readBigUInt64LE(at)),
    entryValid: Number(bytes.readBigUInt64LE(at + 16)),
    ...decodeAttr(bytes, at + 40),
  };
}

export function decodeDirents(bytes: Buffer, plus: boolean): Dirent[] {
  const entries: Dirent[] = [];
  for (let at = 0; at < bytes.length;) {
    const dirent = plus ? at + 128 : at;
    const length = bytes.readUInt32LE(dirent + 16);
    entries.push({
      name: bytes.toString('utf8', dirent + 24, dirent + 24 + length),
      ino: bytes.readBigUInt64LE(dirent),
      offset: bytes.readBigUInt64LE(dirent + 8),
      type: bytes.readUInt32LE(dirent + 20),
      ...(plus ? { entry: decodeEntry(bytes, at) } : {}),
    });
    at = dirent + Math.ceil((24 + length) / 8) * 8;
  }
  return entries;
}

/** All INIT flags of Linux 6.1 that matter. */
export const LINUX_FLAGS = 0x73ff_ffff;

export class FuseClient {
  readonly memory = GuestMemory.create('fs-test', [{ start: 0, size: RAM }]);
  readonly ram = new GuestRam(this.memory);
  private readonly bytes = this.memory.slices(0, RAM)[0]!;
  private unique = 1n;

  constructor(
    public server: Handler,
    /** The largest answer. */
    private readonly room = 2 ** 20 + 16,
  ) {}

  close(): void {
    this.memory.close();
  }

  /** Sends bytes; the answer comes through the callback, with all that was written. */
  raw(
    request: Uint8Array,
    done: (answer: Buffer) => void,
    room = this.room,
    requestAt = REQUEST_AT,
    replyAt = REPLY_AT,
  ): FuseRequest {
    this.bytes.set(request, requestAt);
    const chain = new DescriptorChain(this.ram, 600, 0);
    // Pieces as a driver would make them, and uneven ones.
    for (let at = 0; at < request.length; at += 0x10000) {
      chain.readable.append(requestAt + at, Math.min(0x10000, request.length - at));
    }
    const first = Math.min(room, 10);
    if (room > 0) chain.writable.append(replyAt, first);
    if (room > first) chain.writable.append(replyAt + first, room - first);
    const message = new FuseRequest(chain.readable, chain.writable, (_, written) =>
      done(Buffer.from(this.bytes.slice(replyAt, replyAt + written))),
    );
    this.server.handle(message);
    return message;
  }

  /** A request whose answer comes at once, or undefined when it does not. */
  try(opcode: number, given: Header, body: Uint8Array, room?: number): Reply | undefined {
    let reply: Reply | undefined;
    const unique = given.unique ?? this.unique++;
    const request = Buffer.concat([header(opcode, body.length, { ...given, unique }), body]);
    this.raw(request, (answer) => (reply = this.decode(answer, unique)), room);
    return reply;
  }

  /** A request that is answered at some time. */
  later(opcode: number, given: Header, body: Uint8Array, place = 0): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const unique = given.unique ?? this.unique++;
      const request = Buffer.concat([header(opcode, body.length, { ...given, unique }), body]);
      const done = (answer: Buffer): void => {
        const { error, body: bytes } = this.decode(answer, unique);
        if (error === 0) resolve(bytes);
        else reject(new ReplyError(error));
      };
      const at = 0x10_0000 + place * 0x2000;
      this.raw(request, done, 0x1000, at, at + 0x1000);
    });
  }

  decode(answer: Buffer, unique: bigint): Reply {
    if (answer.length === 0) return { error: 0, body: answer };
    expect(answer.readUInt32LE(0)).toBe(answer.length);
    expect(answer.readBigUInt64LE(8)).toBe(unique);
    const error = 0 - answer.readInt32LE(4);
    if (error !== 0) expect(answer.length).toBe(16);
    return { error, body: answer.subarray(16) };
  }

  /** A request that is answered at once: its body. @throws ReplyError */
  call(opcode: number, given: Header, ...fields: readonly Field[]): Buffer {
    const reply = this.try(opcode, given, encode(...fields));
    if (reply === undefined) throw new Error('no answer');
    if (reply.error !== 0) throw new ReplyError(reply.error);
    return reply.body;
  }

  init(flags = LINUX_FLAGS, minor = 38, major = 7): Buffer {
    return this.call(
      Opcode.Init,
      { nodeId: 0 },
      major,
      minor,
      0x20000,
      flags,
      0,
      new Uint8Array(44),
    );
  }

  lookup(parent: number, name: string, from: Header = {}): EntryOut {
    return decodeEntry(this.call(Opcode.Lookup, { ...from, nodeId: parent }, name));
  }

  forget(nodeId: number, count = 1n): void {
    this.call(Opcode.Forget, { nodeId }, count);
  }

  getattr(nodeId: number, handle?: number): Attr {
    const fields = handle === undefined ? [0, 0, 0n] : [1, 0, BigInt(handle)];
    return decodeAttr(this.call(Opcode.GetAttr, { nodeId }, ...fields), 16);
  }

  setattr(
    nodeId: number,
    valid: number,
    {
      handle = 0n,
      size = 0n,
      atime = 0n,
      mtime = 0n,
      atimeNs = 0,
      mtimeNs = 0,
      mode = 0,
      uid = 0,
      gid = 0,
    } = {},
    from: Header = {},
  ): Attr {
    const times = [atime, mtime, 0n, atimeNs, mtimeNs, 0];
    const fields = [valid, 0, handle, size, 0n, ...times, mode, 0, uid, gid, 0];
    return decodeAttr(this.call(Opcode.SetAttr, { ...from, nodeId }, ...fields), 16);
  }

  mkdir(parent: number, name: string, mode = 0o755, from: Header = {}): EntryOut {
    return decodeEntry(this.call(Opcode.MkDir, { ...from, nodeId: parent }, mode, 0, name));
  }

  mknod(parent: number, name: string, mode: number, rdev = 0): EntryOut {
    return decodeEntry(this.call(Opcode.MkNod, { nodeId: parent }, mode, rdev, 0, 0, name));
  }

  symlink(parent: number, name: string, target: string): EntryOut {
    return decodeEntry(this.call(Opcode.Symlink, { nodeId: parent }, name, target));
  }

  readlink(nodeId: number): string {
    return this.call(Opcode.ReadLink, { nodeId }).toString('utf8');
  }

  link(nodeId: number, parent: number, name: string): EntryOut {
    return decodeEntry(this.call(Opcode.Link, { nodeId: parent }, BigInt(nodeId), name));
  }

  unlink(parent: number, name: string): void {
    this.call(Opcode.Unlink, { nodeId: parent }, name);
  }

  rmdir(parent: number, name: string): void {
    this.call(Opcode.RmDir, { nodeId: parent }, name);
  }

  rename(parent: number, name: string, to: number, newName: string, flags = 0): void {
    this.call(Opcode.Rename2, { nodeId: parent }, BigInt(to), flags, 0, name, newName);
  }

  create(
    parent: number,
    name: string,
    flags: number,
    mode = 0o644,
    from: Header = {},
  ): EntryOut & { handle: number } {
    const body = this.call(Opcode.Create, { ...from, nodeId: parent }, flags, mode, 0, 0, name);
    return { ...decodeEntry(body), handle: Number(body.readBigUInt64LE(128)) };
  }

  open(nodeId: number, flags: number, openFlags = 0): number {
    return Number(this.call(Opcode.Open, { nodeId }, flags, openFlags).readBigUInt64LE(0));
  }

  read(handle: number, offset: number | bigint, size: number): Buffer {
    const fields = [BigInt(handle), BigInt(offset), size, 0, 0n, 0, 0];
    return this.call(Opcode.Read, {}, ...fields);
  }

  write(handle: number, offset: number | bigint, data: Uint8Array, flags = 0): number {
    const fields = [BigInt(handle), BigInt(offset), data.length, flags, 0n, 0, 0, data];
    return this.call(Opcode.Write, {}, ...fields).readUInt32LE(0);
  }

  flush(handle: number, owner = 0n): void {
    this.call(Opcode.Flush, {}, BigInt(handle), 0n, owner);
  }

  release(handle: number): void {
    this.call(Opcode.Release, {}, BigInt(handle), 0, 0, 0n);
  }

  opendir(nodeId: number): number {
    return Number(this.call(Opcode.OpenDir, { nodeId }, 0, 0).readBigUInt64LE(0));
  }

  releasedir(handle: number): void {
    this.call(Opcode.ReleaseDir, {}, BigInt(handle), 0, 0, 0n);
  }

  readdir(handle: number, offset: bigint, size = 4096, plus = false): Dirent[] {
    const opcode = plus ? Opcode.ReadDirPlus : Opcode.ReadDir;
    const fields = [BigInt(handle), offset, size, 0, 0n, 0, 0];
    return decodeDirents(this.call(opcode, {}, ...fields), plus);
  }

  /** All names of a directory, without the dots, as a program would read them. */
  list(nodeId: number, size = 4096, plus = false): Dirent[] {
    const handle = this.opendir(nodeId);
    const entries: Dirent[] = [];
    for (let offset = 0n; ;) {
      const some = this.readdir(handle, offset, size, plus);
      if (some.length === 0) break;
      entries.push(...some);
      offset = some.at(-1)!.offset;
    }
    this.releasedir(handle);
    return entries.filter(({ name }) => name !== '.' && name !== '..');
  }

  getxattr(nodeId: number, name: string, size = 65536): Buffer {
    return this.call(Opcode.GetXattr, { nodeId }, size, 0, name);
  }

  setxattr(nodeId: number, name: string, value: Uint8Array, flags = 0): void {
    this.call(Opcode.SetXattr, { nodeId }, value.length, flags, name, value);
  }

  listxattr(nodeId: number, size = 65536): Buffer {
    return this.call(Opcode.ListXattr, { nodeId }, size, 0);
  }

  removexattr(nodeId: number, name: string): void {
    this.call(Opcode.RemoveXattr, { nodeId }, name);
  }
}

/** The errno name of a call that fails, or 'OK'. */
export function outcome(call: () => unknown): string {
  try {
    call();
    return 'OK';
  } catch (error) {
    if (error instanceof ReplyError) return error.code;
    throw error;
  }
}
