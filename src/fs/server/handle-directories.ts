/** Requests that read directories. */
import { FileType, type DirectoryEntry } from '../file-system.js';
import { OPEN_OUT_BYTES, OpenReply } from '../fuse/protocol.js';
import type { FuseRequest } from '../fuse/request.js';
import { fsError } from '../errors.js';
import { DirectoryBuffer } from './directory-buffer.js';
import type { ServedFile } from './file-table.js';
import { requires, type Session } from './session.js';

type Directory = ServedFile<object, unknown>;

/** An inode number for names whose file system gives none: any but 0. */
const SOME_INO = 0xffff_ffff;
const DOTS: readonly DirectoryEntry[] = ['.', '..'].map((name) => ({
  name,
  type: FileType.Directory,
}));

export function openDir(session: Session, request: FuseRequest): void {
  const { reader, reply, fs, files, cache } = session;
  const node = session.node(request);
  const flags = reader.u32(0);
  session.needRoom(request, OPEN_OUT_BYTES);
  files.reserve();
  session.settle(
    request,
    fs.openDirectory?.(node, request),
    (handle) => {
      const number = files.add({ node, handle, flags, directory: true });
      const cached = cache === 'always' ? OpenReply.KeepCache | OpenReply.CacheDir : 0;
      reply.openOut(0, number, cached);
      return OPEN_OUT_BYTES;
    },
    (handle) => fs.release?.({ node, handle, flags }),
  );
}

export function releaseDir(session: Session, request: FuseRequest): void {
  session.release(session.files.remove(session.reader.u64(0), true));
  session.send(request, 0);
}

/** Names that a file system has listed, from a number on. */
function addNames(
  buffer: DirectoryBuffer<object>,
  names: readonly DirectoryEntry[],
  first: number,
): number {
  for (let i = first; i < names.length; i++) {
    const { name, type = FileType.Regular, ino = SOME_INO } = names[i]!;
    if (!buffer.add(name, type, ino, i + 1)) break;
  }
  return buffer.length;
}

function listNames(
  session: Session,
  request: FuseRequest,
  directory: Directory,
  buffer: DirectoryBuffer<object>,
  offset: number,
): void {
  const { fs } = session;
  const { names } = directory;
  if (names !== undefined && offset > 0) {
    session.send(request, addNames(buffer, names, offset));
    return;
  }
  requires(fs, 'list');
  session.settle(request, fs.list(directory.node), (list) => {
    directory.names = [...DOTS, ...list];
    return addNames(buffer, directory.names, offset);
  });
}

function readWith(session: Session, request: FuseRequest, plus: boolean): void {
  const { reader, fs, files } = session;
  const directory = files.get(reader.u64(0), true);
  const buffer = new DirectoryBuffer(session, request, reader.u32(16), plus);
  if (fs.readDirectory === undefined) {
    // READDIRPLUS has not been offered: such names are no nodes.
    if (plus) throw fsError('ENOSYS');
    listNames(session, request, directory, buffer, reader.u64(8));
    return;
  }
  fs.readDirectory(directory, reader.big(8), buffer, request);
  session.send(request, buffer.length);
}

export function readDir(session: Session, request: FuseRequest): void {
  readWith(session, request, false);
}

export function readDirPlus(session: Session, request: FuseRequest): void {
  readWith(session, request, true);
}
