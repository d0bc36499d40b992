/** The names of a shared directory: nodes, their attributes, and what makes and removes them. */
import { constants, closeSync, openSync } from 'node:fs';
import { native } from '../../kvm/native.js';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import { errno, errnoError, fsError } from '../errors.js';
import {
  FileType,
  RenameFlag,
  type AttributeChanges,
  type Attributes,
  type Caller,
  type Entry,
} from '../file-system.js';
import { HostFiles, checked, type HostFile } from './host-files.js';
import { HostNodes, type HostNode } from './host-nodes.js';
import {
  defaultDescriptors,
  defaultMap,
  processUmask,
  type HostDirectoryOptions,
} from './host-options.js';
import { HostStat } from './host-stat.js';
import { IdMap } from './id-map.js';

const AT_REMOVEDIR = 0x200;
const PERMISSIONS = 0o7777;
const SPECIAL_BITS = 0o7000;
const SGID = 0o2000;
const UTIME_NOW = 0x3fff_ffff;
const UTIME_OMIT = 0x3fff_fffe;

function openRoot(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') {
      throw new VexitError('ERR_CONFIG', `cannot share ${path}: there is no such directory`);
    }
    if (code === 'ENOTDIR') {
      throw new VexitError('ERR_CONFIG', `cannot share ${path}: it is not a directory`);
    }
    const hint = code === 'EACCES' ? `its user must be able to read ${path}` : undefined;
    throw new VexitError('ERR_CONFIG', `cannot share ${path}: ${errorMessage(error)}`, hint);
  }
}

/** The names and attributes of a shared directory. */
export abstract class HostTree {
  readonly root: HostNode;

  protected readonly nodes: HostNodes;
  protected readonly files: HostFiles;
  protected readonly stat: HostStat;
  private readonly uids: IdMap;
  private readonly gids: IdMap;
  protected readonly readOnly: boolean;
  private readonly privileged = process.geteuid!() === 0;
  private readonly umask = processUmask();
  private readonly entry: Entry<HostNode>;

  /** @throws VexitError ERR_CONFIG when there is no such directory, or it cannot be read */
  constructor(path: string, options: HostDirectoryOptions = {}) {
    const descriptors = defaultDescriptors();
    const fd = openRoot(path);
    try {
      this.uids = new IdMap(options.uidMap ?? defaultMap(process.geteuid!()));
      this.gids = new IdMap(options.gidMap ?? defaultMap(process.getegid!()));
      this.stat = new HostStat(this.uids, this.gids);
      this.nodes = new HostNodes(fd, this.stat, options.maxNodeDescriptors ?? descriptors);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.readOnly = options.readOnly ?? false;
    const limit = options.maxFileDescriptors ?? descriptors;
    this.files = new HostFiles(this.nodes, this.stat, limit, this.readOnly, this.privileged);
    this.root = this.nodes.root;
    this.entry = { node: this.root, attributes: this.stat.translate() };
  }

  /** Descriptors in use. */
  get descriptors(): { nodes: number; files: number } {
    return { nodes: this.nodes.descriptors, files: this.files.count };
  }

  protected changing(): void {
    if (this.readOnly) throw fsError('EROFS');
  }

  /** Something new is about to be made, which needs a descriptor. */
  protected making(): void {
    this.changing();
    this.nodes.makeRoom();
  }

  /** The entry for an O_PATH descriptor that the last `stat` is about. */
  protected entryOf(fd: number, parent: HostNode, name: string): Entry<HostNode> {
    this.entry.attributes = this.stat.translate();
    this.entry.node = this.nodes.adopt(fd, parent, name);
    return this.entry;
  }

  lookup(parent: HostNode, name: string): Entry<HostNode> | undefined {
    return this.entryBehind(this.nodes.fd(parent), parent, name);
  }

  /**
   * The entry for a name in a directory, of which `dirFd` is a descriptor; undefined when it is not
   * there. What the guest knows and is open already needs no descriptor.
   */
  protected entryBehind(
    dirFd: number,
    parent: HostNode,
    name: string,
  ): Entry<HostNode> | undefined {
    let result = native().fsStatName(dirFd, name, this.stat.view);
    if (result === 0) {
      const node = this.nodes.meet(parent, name);
      if (node !== undefined) {
        this.entry.attributes = this.stat.translate();
        this.entry.node = node;
        return this.entry;
      }
      result = native().fsLookup(dirFd, name, this.stat.view);
    }
    if (result === -errno.ENOENT) return undefined;
    return this.entryOf(checked(result), parent, name);
  }

  forget(node: HostNode): void {
    this.files.dropAllLocks(node);
    this.nodes.forget(node);
  }

  reset(): void {
    this.files.reset();
    this.nodes.clear();
  }

  /** Closes all descriptors; the object is of no use afterwards. */
  close(): void {
    this.files.reset();
    this.nodes.close();
  }

  attributes(node: HostNode, file: HostFile | undefined): Attributes {
    return this.stat.of(file?.handle ?? this.nodes.fd(node)).translate();
  }

  setAttributes(node: HostNode, changes: AttributeChanges, file: HostFile | undefined): Attributes {
    this.changing();
    const { uid, gid, size, mode } = changes;
    if (uid !== undefined || gid !== undefined) this.chown(node, uid, gid);
    if (size !== undefined) {
      this.files.truncate(node, size, file);
      if (changes.killPrivileges === true) this.files.clearPrivileges(this.nodes.fd(node));
    }
    if (mode !== undefined) checked(native().fsChmod(this.nodes.fd(node), mode & PERMISSIONS));
    if (changes.atime !== undefined || changes.mtime !== undefined) this.setTimes(node, changes);
    return this.stat.of(this.nodes.fd(node)).translate();
  }

  private chown(node: HostNode, uid: number | undefined, gid: number | undefined): void {
    const hostUid = uid === undefined ? -1 : this.uids.toHost(uid);
    const hostGid = gid === undefined ? -1 : this.gids.toHost(gid);
    if (hostUid === undefined || hostGid === undefined) throw fsError('EPERM');
    checked(native().fsChown(this.nodes.fd(node), hostUid, hostGid));
  }

  private setTimes(
    node: HostNode,
    { atime, atimeNs = 0, mtime, mtimeNs = 0 }: AttributeChanges,
  ): void {
    const seconds = (time: number | 'now' | undefined): number =>
      typeof time === 'number' ? time : 0;
    const nanoseconds = (time: number | 'now' | undefined, given: number): number => {
      if (time === undefined) return UTIME_OMIT;
      return time === 'now' ? UTIME_NOW : given;
    };
    checked(
      native().fsSetTimes(
        this.nodes.fd(node),
        seconds(atime),
        nanoseconds(atime, atimeNs),
        seconds(mtime),
        nanoseconds(mtime, mtimeNs),
      ),
    );
  }

  readLink(node: HostNode): string {
    if (node.type !== FileType.Link) throw fsError('EINVAL');
    const target = native().fsReadLink(this.nodes.fd(node));
    if (typeof target === 'number') throw errnoError(-target);
    return target;
  }

  /** The entry for something that has just been made, with the owner and mode it is to have. */
  private made(
    parent: HostNode,
    name: string,
    mode: number | undefined,
    caller: Caller,
  ): Entry<HostNode> {
    const fd = checked(native().fsLookup(this.nodes.fd(parent), name, this.stat.view));
    try {
      this.dress(fd, parent, mode, caller);
    } catch (error) {
      native().fsClose(fd);
      throw error;
    }
    return this.entryOf(fd, parent, name);
  }

  /**
   * Gives a new file the caller's ids, where the process may, and the bits of its mode that the
   * process's umask or a change of owner have taken away. The last `stat` is about it, before and
   * after.
   */
  protected dress(fd: number, parent: HostNode, mode: number | undefined, caller: Caller): void {
    let stale = false;
    if (this.privileged) {
      const { uid: madeUid, gid: madeGid } = this.stat;
      const uid = this.uids.toHost(caller.uid) ?? madeUid;
      let gid = this.gids.toHost(caller.gid) ?? madeGid;
      if (gid !== madeGid) {
        // In a directory with the set-group-ID bit the group is the directory's.
        if ((this.stat.of(this.nodes.fd(parent)).mode & SGID) !== 0) gid = madeGid;
        stale = true;
      }
      if (uid !== madeUid || gid !== madeGid) {
        checked(native().fsChown(fd, uid, gid));
        stale = true;
      }
    }
    if (mode !== undefined && (mode & (this.umask | SPECIAL_BITS)) !== 0) {
      const inherited = this.stat.of(fd).mode & SGID;
      checked(native().fsChmod(fd, (mode & PERMISSIONS) | inherited));
      stale = true;
    }
    if (stale) this.stat.of(fd);
  }

  symlink(parent: HostNode, name: string, target: string, caller: Caller): Entry<HostNode> {
    this.making();
    checked(native().fsSymlink(target, this.nodes.fd(parent), name));
    return this.made(parent, name, undefined, caller);
  }

  makeNode(parent: HostNode, name: string, mode: number, caller: Caller): Entry<HostNode> {
    this.making();
    const type = mode & FileType.Mask;
    const makeable =
      type === FileType.Regular || type === FileType.Fifo || type === FileType.Socket;
    if (!makeable) throw fsError('EPERM');
    const safe = mode & ~SPECIAL_BITS;
    checked(native().fsMakeNode(this.nodes.fd(parent), name, safe));
    return this.made(parent, name, mode & PERMISSIONS, caller);
  }

  makeDirectory(parent: HostNode, name: string, mode: number, caller: Caller): Entry<HostNode> {
    this.making();
    checked(native().fsMakeDirectory(this.nodes.fd(parent), name, mode & ~SPECIAL_BITS));
    return this.made(parent, name, mode & PERMISSIONS, caller);
  }

  unlink(parent: HostNode, name: string): void {
    this.remove(parent, name, 0);
  }

  removeDirectory(parent: HostNode, name: string): void {
    this.remove(parent, name, AT_REMOVEDIR);
  }

  private remove(parent: HostNode, name: string, flags: number): void {
    this.changing();
    const node = this.nodes.behind(parent, name);
    checked(native().fsUnlink(this.nodes.fd(parent), name, flags));
    this.nodes.lostName(node, parent, name);
  }

  rename(
    parent: HostNode,
    name: string,
    newParent: HostNode,
    newName: string,
    flags: number,
  ): void {
    this.changing();
    const moved = this.nodes.behind(parent, name);
    const replaced = this.nodes.behind(newParent, newName);
    checked(
      this.nodes.both(parent, newParent, (from, to) =>
        native().fsRename(from, name, to, newName, flags),
      ),
    );
    // Two names of one file: nothing has happened.
    if (moved !== undefined && moved === replaced) return;
    if ((flags & RenameFlag.Exchange) !== 0) this.nodes.moved(replaced, parent, name);
    else this.nodes.lostName(replaced, newParent, newName);
    this.nodes.moved(moved, newParent, newName);
  }

  link(node: HostNode, newParent: HostNode, newName: string): Entry<HostNode> {
    this.changing();
    checked(
      this.nodes.both(node, newParent, (fd, directory) => native().fsLink(fd, directory, newName)),
    );
    const fd = checked(native().fsLookup(this.nodes.fd(newParent), newName, this.stat.view));
    return this.entryOf(fd, newParent, newName);
  }
}
