/** Requests about nodes: attributes, links, extended attributes, and forgetting. */
import { fsError } from '../errors.js';
import type { AttributeChanges, FileSystem } from '../file-system.js';
import {
  AttrValid as V,
  GETATTR_HANDLE,
  OUT_HEADER_BYTES,
  STATFS_OUT_BYTES,
  XATTR_NAME_LIMIT,
  XATTR_SIZE_LIMIT,
} from '../fuse/protocol.js';
import type { FuseRequest } from '../fuse/request.js';
import { requires, type Session } from './session.js';

const PERMISSIONS = 0o7777;
const NANOSECONDS = 1_000_000_000;
/** -1 as an unsigned number: no user and no group. */
const NOBODY = 0xffff_ffff;
const LARGEST_SIZE = 2 ** 63;
const FORGET_ONE_BYTES = 16;

export function getAttr(session: Session, request: FuseRequest): void {
  const { reader, reply, fs, validity } = session;
  const node = session.node(request);
  const file = session.optionalFile((reader.u32(0) & GETATTR_HANDLE) !== 0, reader.u64(8));
  const id = request.nodeId;
  session.settle(request, fs.attributes(node, file), (attributes) =>
    reply.attrOut(attributes, id, validity),
  );
}

/** `fuse_setattr_in`. */
function changesOf(session: Session): AttributeChanges {
  const { reader } = session;
  const valid = reader.u32(0);
  const changes: AttributeChanges = {};
  if ((valid & V.Mode) !== 0) changes.mode = reader.u32(68) & PERMISSIONS;
  if ((valid & V.Uid) !== 0) changes.uid = idOf(reader.u32(76));
  if ((valid & V.Gid) !== 0) changes.gid = idOf(reader.u32(80));
  if ((valid & V.Size) !== 0) {
    changes.size = reader.u64(16);
    if (changes.size >= LARGEST_SIZE) throw fsError('EINVAL');
    if (!Number.isSafeInteger(changes.size)) throw fsError('EFBIG');
  }
  if ((valid & V.AtimeNow) !== 0) {
    changes.atime = 'now';
  } else if ((valid & V.Atime) !== 0) {
    changes.atime = seconds(reader.i64(32));
    changes.atimeNs = nanoseconds(reader.u32(56));
  }
  if ((valid & V.MtimeNow) !== 0) {
    changes.mtime = 'now';
  } else if ((valid & V.Mtime) !== 0) {
    changes.mtime = seconds(reader.i64(40));
    changes.mtimeNs = nanoseconds(reader.u32(60));
  }
  if ((valid & V.KillSuidGid) !== 0) changes.killPrivileges = true;
  return changes;
}

function idOf(value: number): number {
  if (value === NOBODY) throw fsError('EINVAL');
  return value;
}

function seconds(value: number): number {
  if (!Number.isSafeInteger(value)) throw fsError('EINVAL');
  return value;
}

function nanoseconds(value: number): number {
  if (!(value < NANOSECONDS)) throw fsError('EINVAL');
  return value;
}

export function setAttr(session: Session, request: FuseRequest): void {
  const { reader, reply, fs, validity } = session;
  requires(fs, 'setAttributes');
  const node = session.node(request);
  const file = session.optionalFile((reader.u32(0) & V.Handle) !== 0, reader.u64(8));
  const id = request.nodeId;
  session.settle(request, fs.setAttributes(node, changesOf(session), file, request), (attributes) =>
    reply.attrOut(attributes, id, validity),
  );
}

export function readLink(session: Session, request: FuseRequest): void {
  const { reply, fs } = session;
  requires(fs, 'readLink');
  session.settle(request, fs.readLink(session.node(request)), (target) => {
    if (reply.textLength(target) > request.sink.length - OUT_HEADER_BYTES) {
      throw fsError('ENAMETOOLONG');
    }
    return reply.text(0, target);
  });
}

export function statFs(session: Session, request: FuseRequest): void {
  const { reply, fs } = session;
  const node = session.node(request);
  session.settle(request, fs.statistics?.(node) ?? {}, (statistics) => {
    reply.clear(0, STATFS_OUT_BYTES);
    const { blockSize = 4096 } = statistics;
    reply.u64(0, statistics.blocks ?? 0);
    reply.u64(8, statistics.blocksFree ?? 0);
    reply.u64(16, statistics.blocksAvailable ?? statistics.blocksFree ?? 0);
    reply.u64(24, statistics.files ?? 0);
    reply.u64(32, statistics.filesFree ?? 0);
    reply.u32(40, blockSize);
    reply.u32(44, statistics.nameLength ?? 255);
    reply.u32(48, statistics.fragmentSize ?? blockSize);
    return STATFS_OUT_BYTES;
  });
}

/** The guest has checked permissions itself, by the attributes: there is nothing to add. */
export function access(session: Session, request: FuseRequest): void {
  session.node(request);
  session.send(request, 0);
}

export function setXattr(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'setXattr');
  const node = session.node(request);
  const size = reader.u32(0);
  const flags = reader.u32(4);
  const name = reader.strings(8).text(XATTR_NAME_LIMIT);
  if (size > XATTR_SIZE_LIMIT) throw fsError('E2BIG');
  session.settleEmpty(request, fs.setXattr(node, name, reader.rest(size), flags));
}

/** The answer to a question for bytes with a limit: their number, when the limit is 0. */
function sendSized(session: Session, size: number, value: Uint8Array): number {
  const { reply } = session;
  if (value.length > XATTR_SIZE_LIMIT) throw fsError('E2BIG');
  if (size === 0) {
    reply.u32(0, value.length);
    reply.u32(4, 0);
    return 8;
  }
  if (value.length > size) throw fsError('ERANGE');
  reply.data(0, value);
  return value.length;
}

export function getXattr(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'getXattr');
  const node = session.node(request);
  const size = reader.u32(0);
  const name = reader.strings(8).text(XATTR_NAME_LIMIT);
  session.settle(request, fs.getXattr(node, name), (value) => sendSized(session, size, value));
}

export function listXattr(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'listXattrs');
  const node = session.node(request);
  const size = reader.u32(0);
  const encoding = fs.names === 'bytes' ? 'latin1' : 'utf8';
  session.settle(request, fs.listXattrs(node), (names) => {
    const list = names.map((name) => `${name}\0`).join('');
    return sendSized(session, size, Buffer.from(list, encoding));
  });
}

export function removeXattr(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'removeXattr');
  const node = session.node(request);
  const name = reader.strings(0).text(XATTR_NAME_LIMIT);
  session.settleEmpty(request, fs.removeXattr(node, name));
}

function forgetNode<Node extends object>(
  session: Session<Node>,
  fs: FileSystem<Node>,
  id: number,
  lookups: number,
): void {
  const node = session.nodes.forget(id, lookups);
  if (node !== undefined) fs.forget?.(node);
}

/** FUSE_FORGET, which has no answer. */
export function forget(session: Session, request: FuseRequest): void {
  forgetNode(session, session.fs, request.nodeId, session.reader.u64(0));
  request.complete(0);
}

/** FUSE_BATCH_FORGET: as many as there are in the message, whatever its count says. */
export function batchForget(session: Session, request: FuseRequest): void {
  const { reader } = session;
  const fitting = Math.floor((reader.length - 8) / FORGET_ONE_BYTES);
  const count = Math.min(reader.u32(0), fitting);
  for (let i = 0; i < count; i++) {
    const at = 8 + FORGET_ONE_BYTES * i;
    forgetNode(session, session.fs, reader.u64(at), reader.u64(at + 8));
  }
  request.complete(0);
}
