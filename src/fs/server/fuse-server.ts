/**
 * A FUSE server for one mount: takes requests, asks a {@link FileSystem}, answers. It knows nothing
 * of virtio, and never waits: a request whose answer takes time is answered later.
 */
import { fsError } from '../errors.js';
import type { FileSystem } from '../file-system.js';
import { Opcode as O } from '../fuse/protocol.js';
import type { FuseRequest } from '../fuse/request.js';
import * as directories from './handle-directories.js';
import * as files from './handle-files.js';
import { destroy, init, interrupt } from './handle-init.js';
import * as locks from './handle-locks.js';
import * as names from './handle-names.js';
import * as nodes from './handle-nodes.js';
import { Session, type FuseServerOptions } from './session.js';

type Handler = (session: Session, request: FuseRequest) => void;

const HANDLERS: readonly (Handler | undefined)[] = handlerTable([
  [O.Lookup, names.lookup],
  [O.Forget, nodes.forget],
  [O.GetAttr, nodes.getAttr],
  [O.SetAttr, nodes.setAttr],
  [O.ReadLink, nodes.readLink],
  [O.Symlink, names.symlink],
  [O.MkNod, names.mkNod],
  [O.MkDir, names.mkDir],
  [O.Unlink, names.unlink],
  [O.RmDir, names.rmDir],
  [O.Rename, names.rename],
  [O.Link, names.link],
  [O.Open, files.open],
  [O.Read, files.read],
  [O.Write, files.write],
  [O.StatFs, nodes.statFs],
  [O.Release, files.release],
  [O.FSync, files.fSync],
  [O.SetXattr, nodes.setXattr],
  [O.GetXattr, nodes.getXattr],
  [O.ListXattr, nodes.listXattr],
  [O.RemoveXattr, nodes.removeXattr],
  [O.Flush, files.flush],
  [O.Init, init],
  [O.OpenDir, directories.openDir],
  [O.ReadDir, directories.readDir],
  [O.ReleaseDir, directories.releaseDir],
  [O.FSyncDir, files.fSyncDir],
  [O.GetLk, locks.getLk],
  [O.SetLk, locks.setLk],
  [O.SetLkW, locks.setLkW],
  [O.Access, nodes.access],
  [O.Create, files.create],
  [O.Interrupt, interrupt],
  [O.Destroy, destroy],
  [O.BatchForget, nodes.batchForget],
  [O.FAllocate, files.fAllocate],
  [O.ReadDirPlus, directories.readDirPlus],
  [O.Rename2, names.rename2],
  [O.LSeek, files.lSeek],
  [O.CopyFileRange, files.copyFileRange],
  [O.SyncFs, files.syncFs],
]);

function handlerTable(pairs: readonly (readonly [O, Handler])[]): (Handler | undefined)[] {
  const table: (Handler | undefined)[] = [];
  for (const [opcode, handler] of pairs) table[opcode] = handler;
  return table;
}

/** What a server that is read-only refuses, besides opening for writing. */
const CHANGES: ReadonlySet<number> = new Set([
  O.SetAttr,
  O.Symlink,
  O.MkNod,
  O.MkDir,
  O.Unlink,
  O.RmDir,
  O.Rename,
  O.Rename2,
  O.Link,
  O.Write,
  O.SetXattr,
  O.RemoveXattr,
  O.Create,
  O.FAllocate,
  O.CopyFileRange,
  O.TmpFile,
]);

/** Requests that nobody waits for: they get no answer, whatever happens. */
const UNANSWERED: ReadonlySet<number> = new Set([O.Forget, O.BatchForget, O.Interrupt]);

/** The server. One thread uses it. */
export class FuseServer<Node extends object = object, Handle = unknown> {
  private readonly session: Session<Node, Handle>;

  constructor(fs: FileSystem<Node, Handle>, options: FuseServerOptions = {}) {
    this.session = new Session(fs, options);
  }

  /** Takes a request. It is done when this returns, or later; see {@link FuseRequest}. */
  handle(request: FuseRequest): void {
    const session = this.session as unknown as Session;
    request.begin();
    try {
      if (!session.reader.readHeader(request)) throw fsError('EINVAL');
      this.dispatch(session, request);
    } catch (error) {
      if (UNANSWERED.has(request.opcode)) request.complete(0);
      else session.fail(request, error);
    }
  }

  private dispatch(session: Session, request: FuseRequest): void {
    const { opcode } = request;
    const handler = HANDLERS[opcode];
    if (handler === undefined) throw fsError(opcode === O.IoCtl ? 'ENOTTY' : 'ENOSYS');
    if (!session.initialized && opcode !== O.Init && opcode !== O.Destroy) throw fsError('EIO');
    if (opcode === O.Write) session.reader.readBody(request, files.WRITE_BODY_BYTES);
    else session.reader.readBody(request);
    if (session.readOnly) {
      const opens = opcode === O.Open && files.opensForWriting(session.reader.u32(0));
      if (opens || CHANGES.has(opcode)) throw fsError('EROFS');
    }
    handler(session, request);
  }

  /** The guest is gone, or has been reset: closes its files, forgets its nodes. */
  reset(): void {
    this.session.reset();
  }

  /** The same, for good. What is answered later goes nowhere. */
  close(): void {
    this.session.reset();
    this.session.fs.close?.();
  }

  /** Requests that have not been answered. */
  get waiting(): number {
    return this.session.pending + this.session.waiters.size;
  }

  /** Nodes the guest knows, and files it has open. */
  get held(): { nodes: number; files: number } {
    const { nodes: known, files: open } = this.session;
    return { nodes: known.size, files: open.size };
  }
}
