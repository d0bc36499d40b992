/** Requests that look names up, make them and take them away. */
import { fsError } from '../errors.js';
import { FileType, RenameFlag } from '../file-system.js';
import { ENTRY_OUT_BYTES } from '../fuse/protocol.js';
import type { FuseRequest } from '../fuse/request.js';
import { requires, type Session } from './session.js';

const PERMISSIONS = 0o7777;
/** What a guest may make with MKNOD; device nodes are none of a file server's business. */
const MAKEABLE: ReadonlySet<number> = new Set([FileType.Regular, FileType.Fifo, FileType.Socket]);

export function lookup(session: Session, request: FuseRequest): void {
  const { reader, reply, fs, cache, validity } = session;
  session.needRoom(request, ENTRY_OUT_BYTES);
  const parent = session.node(request);
  const name = reader.strings(0).name();
  session.settle(
    request,
    fs.lookup(parent, name, request),
    (entry) => {
      if (entry !== undefined) return session.encodeEntry(entry);
      // To remember that a name is not there is sound only where nobody else makes names.
      if (cache !== 'always') throw fsError('ENOENT');
      return reply.negativeEntry(validity);
    },
    (entry) => entry && session.giveBack(entry.node),
  );
}

export function symlink(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'symlink');
  session.needNode(request, ENTRY_OUT_BYTES);
  const parent = session.node(request);
  const name = reader.strings(0).name();
  const target = reader.text();
  if (target === '') throw fsError('ENOENT');
  session.settleEntry(request, fs.symlink(parent, name, target, request));
}

export function mkNod(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'makeNode');
  session.needNode(request, ENTRY_OUT_BYTES);
  const parent = session.node(request);
  const mode = reader.u32(0);
  const name = reader.strings(16).name();
  const type = (mode & FileType.Mask) === 0 ? FileType.Regular : mode & FileType.Mask;
  if (!MAKEABLE.has(type)) throw fsError('EPERM');
  session.settleEntry(request, fs.makeNode(parent, name, type | (mode & PERMISSIONS), request));
}

export function mkDir(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'makeDirectory');
  session.needNode(request, ENTRY_OUT_BYTES);
  const parent = session.node(request);
  const mode = reader.u32(0) & PERMISSIONS;
  const name = reader.strings(8).name();
  session.settleEntry(request, fs.makeDirectory(parent, name, mode, request));
}

export function unlink(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'unlink');
  const parent = session.node(request);
  session.settleEmpty(request, fs.unlink(parent, reader.strings(0).name()));
}

export function rmDir(session: Session, request: FuseRequest): void {
  const { reader, fs } = session;
  requires(fs, 'removeDirectory');
  const parent = session.node(request);
  session.settleEmpty(request, fs.removeDirectory(parent, reader.strings(0).name()));
}

function renameWith(session: Session, request: FuseRequest, names: number, flags: number): void {
  const { reader, fs, nodes } = session;
  requires(fs, 'rename');
  const parent = session.node(request);
  const newParent = nodes.get(reader.u64(0));
  const name = reader.strings(names).name();
  const newName = reader.name();
  session.settleEmpty(request, fs.rename(parent, name, newParent, newName, flags));
}

export function rename(session: Session, request: FuseRequest): void {
  renameWith(session, request, 8, 0);
}

export function rename2(session: Session, request: FuseRequest): void {
  const flags = session.reader.u32(8);
  const both = RenameFlag.NoReplace | RenameFlag.Exchange;
  if ((flags & ~both) !== 0 || flags === both) throw fsError('EINVAL');
  renameWith(session, request, 16, flags);
}

export function link(session: Session, request: FuseRequest): void {
  const { reader, fs, nodes } = session;
  requires(fs, 'link');
  session.needRoom(request, ENTRY_OUT_BYTES);
  const newParent = session.node(request);
  const node = nodes.get(reader.u64(0));
  session.settleEntry(request, fs.link(node, newParent, reader.strings(8).name()));
}
