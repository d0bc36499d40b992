/** Requests about open files: their data, and what belongs to it. */
import { constants } from 'node:fs';
import { fsError } from '../errors.js';
import type { OpenFile } from '../file-system.js';
import {
  ENTRY_OUT_BYTES,
  FSYNC_DATA,
  IO_IN_BYTES,
  MAX_TRANSFER,
  OPEN_KILL_SUIDGID,
  OPEN_OUT_BYTES,
  OUT_HEADER_BYTES,
  OpenReply,
  WRITE_KILL_SUIDGID,
} from '../fuse/protocol.js';
import type { FuseRequest } from '../fuse/request.js';
import { requires, type Session } from './session.js';

const O_ACCMODE = 3;
const PERMISSIONS = 0o7777;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** A copy blocks nobody for longer than a few milliseconds; the guest asks for the rest. */
const COPY_LIMIT = 4 * 2 ** 20;
const WRITE_OUT_BYTES = 8;
const SEEK_OUT_BYTES = 8;

type AnyFile = OpenFile<object, unknown>;

/** True when an open with these flags may change the file. */
export function opensForWriting(flags: number): boolean {
  return (flags & O_ACCMODE) !== constants.O_RDONLY || (flags & constants.O_TRUNC) !== 0;
}

/** Flags the file system gets: the guest's page cache reads what it is to write back in part. */
function openFlags(session: Session, flags: number): number {
  if (!session.writeback) return flags;
  const writeOnly = (flags & O_ACCMODE) === constants.O_WRONLY;
  const access = writeOnly ? constants.O_RDWR : flags & O_ACCMODE;
  return (flags & ~(O_ACCMODE | constants.O_APPEND)) | access;
}

function openReply({ cache }: Session): number {
  if (cache === 'none') return OpenReply.DirectIo;
  return cache === 'always' ? OpenReply.KeepCache : 0;
}

export function open(session: Session, request: FuseRequest): void {
  const { reader, reply, fs, files } = session;
  const node = session.node(request);
  const flags = reader.u32(0);
  const killPrivileges = (reader.u32(4) & OPEN_KILL_SUIDGID) !== 0;
  session.needRoom(request, OPEN_OUT_BYTES);
  files.reserve();
  const opened = fs.open?.(node, openFlags(session, flags), killPrivileges, request);
  session.settle(
    request,
    opened,
    (handle) => {
      const number = files.add({ node, handle, flags, directory: false });
      reply.openOut(0, number, openReply(session));
      return OPEN_OUT_BYTES;
    },
    (handle) => fs.release?.({ node, handle, flags }),
  );
}

export function create(session: Session, request: FuseRequest): void {
  const { reader, reply, fs, files } = session;
  requires(fs, 'create');
  const parent = session.node(request);
  const flags = reader.u32(0);
  const mode = reader.u32(4) & PERMISSIONS;
  const name = reader.strings(16).name();
  session.needNode(request, ENTRY_OUT_BYTES + OPEN_OUT_BYTES);
  files.reserve();
  const created = fs.create(parent, name, mode, openFlags(session, flags), request);
  session.settle(
    request,
    created,
    (entry) => {
      const { node, handle } = entry;
      let length: number;
      try {
        length = session.encodeEntry(entry);
      } catch (error) {
        fs.release?.({ node, handle, flags });
        throw error;
      }
      const number = files.add({ node, handle, flags, directory: false });
      reply.openOut(length, number, openReply(session));
      return length + OPEN_OUT_BYTES;
    },
    ({ node, handle }) => {
      fs.release?.({ node, handle, flags });
      session.giveBack(node);
    },
  );
}

/** Answers a READ; without `data`, it is in its place behind the header already. */
function sendRead(
  { reply }: Session,
  request: FuseRequest,
  length: number,
  data?: Uint8Array,
): void {
  reply.header(request, length, 0);
  reply.send(request, 0);
  if (data !== undefined) request.sink.write(data, 0, length);
  request.complete(OUT_HEADER_BYTES + length);
}

export function read(session: Session, request: FuseRequest): void {
  const { reader, fs, vectors } = session;
  const { sink } = request;
  const file = session.file(reader.u64(0)) as AnyFile;
  const offset = reader.u64(8);
  const size = Math.min(reader.u32(16), MAX_TRANSFER, sink.length - OUT_HEADER_BYTES);
  if (!(size >= 0)) throw fsError('EINVAL');
  if (!Number.isSafeInteger(offset + size) || size === 0) {
    session.send(request, 0);
  } else if (fs.readInto !== undefined) {
    const done = fs.readInto(file, offset, vectors.load(sink, OUT_HEADER_BYTES, size));
    if (typeof done === 'number') sendRead(session, request, done);
    else session.settleWith(request, done, (length) => sendRead(session, request, length));
  } else {
    requires(fs, 'read');
    session.settleWith(request, fs.read(file, offset, size), (data) => {
      sendRead(session, request, Math.min(data.length, size), data);
    });
  }
}

function sendWritten(session: Session, request: FuseRequest, written: number): void {
  session.reply.u32(0, written);
  session.reply.u32(4, 0);
  session.send(request, WRITE_OUT_BYTES);
}

export function write(session: Session, request: FuseRequest): void {
  const { reader, fs, vectors } = session;
  const { source } = request;
  const file = session.file(reader.u64(0)) as AnyFile;
  const offset = reader.u64(8);
  const size = reader.u32(16);
  const killPrivileges = (reader.u32(20) & WRITE_KILL_SUIDGID) !== 0;
  if (size > source.length || size > MAX_TRANSFER) throw fsError('EINVAL');
  if (!Number.isSafeInteger(offset + size)) throw fsError('EFBIG');
  session.needRoom(request, WRITE_OUT_BYTES);
  if (fs.writeFrom !== undefined) {
    const done = fs.writeFrom(file, offset, vectors.load(source, 0, size), killPrivileges);
    if (typeof done === 'number') sendWritten(session, request, done);
    else session.settleWith(request, done, (length) => sendWritten(session, request, length));
    return;
  }
  requires(fs, 'write');
  if ((file.flags & O_ACCMODE) === constants.O_RDONLY) throw fsError('EBADF');
  const data = new Uint8Array(size);
  source.read(data);
  session.settleWith(request, fs.write(file, offset, data, killPrivileges), (length) =>
    sendWritten(session, request, length ?? size),
  );
}

/** Bytes of IO requests that are read before their data is. */
export const WRITE_BODY_BYTES = IO_IN_BYTES;

/** FUSE_FLUSH. ENOSYS is success to the guest, which does not send it again. */
export function flush(session: Session, request: FuseRequest): void {
  const { reader, fs, waiters, sharedLocks } = session;
  const file = session.file(reader.u64(0)) as AnyFile;
  const owner = reader.big(16);
  if (!sharedLocks) requires(fs, 'flush');
  else fs.dropLocks?.(file, owner);
  session.settleEmpty(request, fs.flush?.(file, owner));
  if (waiters.size > 0) waiters.changed(file.node);
}

export function release(session: Session, request: FuseRequest): void {
  session.release(session.files.remove(session.reader.u64(0), false));
  session.send(request, 0);
}

function syncWith(session: Session, request: FuseRequest, directory: boolean): void {
  const { reader, fs, files } = session;
  requires(fs, 'sync');
  const file = files.get(reader.u64(0), directory);
  session.settleEmpty(request, fs.sync(file, (reader.u32(8) & FSYNC_DATA) !== 0));
}

export function fSync(session: Session, request: FuseRequest): void {
  syncWith(session, request, false);
}

export function fSyncDir(session: Session, request: FuseRequest): void {
  syncWith(session, request, true);
}

export function syncFs(session: Session, request: FuseRequest): void {
  const { fs } = session;
  requires(fs, 'syncFileSystem');
  session.settleEmpty(request, fs.syncFileSystem());
}

function position(value: number): number {
  if (value >= 2 ** 63) throw fsError('EINVAL');
  if (!Number.isSafeInteger(value)) throw fsError('EFBIG');
  return value;
}

export function fAllocate(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'allocate');
  const file = session.file(reader.u64(0)) as AnyFile;
  const offset = position(reader.u64(8));
  const length = position(reader.u64(16));
  if (length === 0) throw fsError('EINVAL');
  position(offset + length);
  session.settleEmpty(request, fs.allocate(file, reader.u32(24), offset, length));
}

export function lSeek(session: Session, request: FuseRequest): void {
  const { reader, reply, fs } = session;
  requires(fs, 'seek');
  const file = session.file(reader.u64(0)) as AnyFile;
  const offset = reader.u64(8);
  const whence = reader.u32(16);
  // The guest's kernel does the others itself.
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw fsError('EINVAL');
  if (!Number.isSafeInteger(offset)) throw fsError('ENXIO');
  session.settle(request, fs.seek(file, offset, whence), (found) => {
    reply.u64(0, found);
    return SEEK_OUT_BYTES;
  });
}

export function copyFileRange(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'copyRange');
  const from = session.file(reader.u64(0)) as AnyFile;
  const to = session.file(reader.u64(24)) as AnyFile;
  const offset = position(reader.u64(8));
  const toOffset = position(reader.u64(32));
  const length = Math.min(reader.u64(40), COPY_LIMIT);
  if (reader.u64(48) !== 0) throw fsError('EINVAL');
  position(offset + length);
  position(toOffset + length);
  session.needRoom(request, WRITE_OUT_BYTES);
  session.settleWith(request, fs.copyRange(from, offset, to, toOffset, length), (copied) =>
    sendWritten(session, request, copied),
  );
}
