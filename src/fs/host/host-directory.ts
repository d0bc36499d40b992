/**
 * A directory of the host as a file system for a guest.
 *
 * Confinement: a name is one step, made with openat2 below the descriptor of its directory, and no
 * link is followed on the way; everything else goes by descriptor. So neither `..`, nor a symbolic
 * link, nor somebody who exchanges files while they are used leads out of the directory. Only
 * regular files and directories are ever opened.
 */
import { constants } from 'node:fs';
import { native } from '../../kvm/native.js';
import { StatFsField as F, SyncKind } from '../../kvm/native-fs.js';
import { errno } from '../errors.js';
import type {
  Caller,
  DirectoryWriter,
  Entry,
  FileLock,
  FileSystem,
  FileSystemStatistics,
} from '../file-system.js';
import { FileType } from '../file-system.js';
import type { IoVectors } from '../io-vectors.js';
import { checked, type HostFile } from './host-files.js';
import { DirectoryStreams } from './host-listing.js';
import type { HostNode } from './host-nodes.js';
import type { HostDirectoryOptions } from './host-options.js';
import { HostTree } from './host-tree.js';
import * as xattrs from './host-xattrs.js';

const PERMISSIONS = 0o777;
/** Node.js does not have it. */
const O_PATH = 0o10000000;

/** A shared directory. One thread uses it. */
export class HostDirectory extends HostTree implements FileSystem<HostNode, number> {
  readonly names = 'bytes';

  private readonly policy: xattrs.XattrPolicy;
  private readonly streams = new DirectoryStreams();
  private readonly statistic = new Float64Array(F.Count);
  private readonly statisticView = new DataView(this.statistic.buffer);

  /** @throws VexitError ERR_CONFIG when there is no such directory, or it cannot be read */
  constructor(path: string, options: HostDirectoryOptions = {}) {
    super(path, options);
    this.policy = options.xattrs ?? 'user';
  }

  open(node: HostNode, flags: number, killPrivileges: boolean): number {
    return this.files.open(this.nodes.fd(node), node.type, flags, killPrivileges);
  }

  create(
    parent: HostNode,
    name: string,
    mode: number,
    flags: number,
    caller: Caller,
  ): Entry<HostNode> & { handle: number } {
    this.making();
    this.files.reserve();
    // Exclusively: what is there already may be of a kind that is not to be opened.
    const create = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = native().fsOpenBeneath(
      this.nodes.fd(parent),
      name,
      this.files.hostFlags(flags) | create,
      mode & PERMISSIONS,
    );
    if (fd === -errno.EEXIST && (flags & constants.O_EXCL) === 0) {
      return this.openExisting(parent, name, flags);
    }
    this.files.own(checked(fd));
    try {
      this.stat.of(fd);
      this.dress(fd, parent, mode, caller);
      const path = checked(native().fsReopen(fd, O_PATH));
      const { node, attributes } = this.entryOf(path, parent, name);
      return { node, attributes, handle: fd };
    } catch (error) {
      this.files.close(fd);
      throw error;
    }
  }

  private openExisting(
    parent: HostNode,
    name: string,
    flags: number,
  ): Entry<HostNode> & { handle: number } {
    const path = checked(native().fsLookup(this.nodes.fd(parent), name, this.stat.view));
    let handle = -1;
    try {
      handle = this.files.open(path, this.stat.mode & FileType.Mask, flags, false);
      // O_TRUNC may have changed the size.
      this.stat.of(path);
    } catch (error) {
      native().fsClose(path);
      if (handle >= 0) this.files.close(handle);
      throw error;
    }
    try {
      const { node, attributes } = this.entryOf(path, parent, name);
      return { node, attributes, handle };
    } catch (error) {
      this.files.close(handle);
      throw error;
    }
  }

  readInto(file: HostFile, offset: number, into: IoVectors): number {
    return this.files.read(file, offset, into);
  }

  writeFrom(file: HostFile, offset: number, from: IoVectors, killPrivileges: boolean): number {
    return this.files.write(file, offset, from, killPrivileges);
  }

  dropLocks(file: HostFile, lockOwner: bigint): void {
    this.files.dropLocks(file.node, lockOwner);
  }

  release(file: HostFile): void {
    this.streams.forget(file.handle);
    this.files.close(file.handle);
  }

  sync(file: HostFile, dataOnly: boolean): Promise<void> {
    return this.files.sync(file.handle, dataOnly ? SyncKind.Data : SyncKind.File);
  }

  syncFileSystem(): Promise<void> {
    return this.files.sync(this.root.fd, SyncKind.FileSystem);
  }

  allocate(file: HostFile, mode: number, offset: number, length: number): void {
    this.changing();
    checked(native().fsAllocate(file.handle, mode, offset, length));
  }

  seek(file: HostFile, offset: number, whence: number): number {
    return checked(native().fsSeek(file.handle, offset, whence));
  }

  copyRange(
    from: HostFile,
    offset: number,
    to: HostFile,
    toOffset: number,
    length: number,
  ): number {
    this.changing();
    return checked(native().fsCopyRange(from.handle, offset, to.handle, toOffset, length));
  }

  openDirectory(node: HostNode): number {
    return this.files.openDirectory(node);
  }

  readDirectory(file: HostFile, offset: bigint, writer: DirectoryWriter<HostNode>): void {
    const { node: directory, handle } = file;
    const lookup = (name: string): Entry<HostNode> | undefined => {
      try {
        return this.entryBehind(handle, directory, name);
      } catch {
        return undefined;
      }
    };
    // What is above the shared directory is nobody's business.
    const parentIno = (): number | bigint | undefined =>
      directory === this.root ? this.stat.of(handle).translate().ino : undefined;
    this.streams.at(handle, offset).list(writer, lookup, parentIno);
  }

  statistics(node: HostNode): FileSystemStatistics {
    const { statistic } = this;
    checked(native().fsStatFs(this.nodes.fd(node), this.statisticView));
    return {
      blocks: statistic[F.Blocks]!,
      blocksFree: statistic[F.BlocksFree]!,
      blocksAvailable: statistic[F.BlocksAvailable]!,
      files: statistic[F.Files]!,
      filesFree: statistic[F.FilesFree]!,
      blockSize: statistic[F.BlockSize]!,
      fragmentSize: statistic[F.FragmentSize]!,
      nameLength: statistic[F.NameLength]!,
    };
  }

  getXattr(node: HostNode, name: string): Uint8Array {
    return xattrs.getXattr(this.nodes.fd(node), name, this.policy);
  }

  listXattrs(node: HostNode): string[] {
    return xattrs.listXattrs(this.nodes.fd(node), this.policy);
  }

  setXattr(node: HostNode, name: string, value: Uint8Array, flags: number): void {
    this.changing();
    xattrs.setXattr(this.nodes.fd(node), name, value, flags, this.policy);
  }

  removeXattr(node: HostNode, name: string): void {
    this.changing();
    xattrs.removeXattr(this.nodes.fd(node), name, this.policy);
  }

  testLock(file: HostFile, lock: FileLock): FileLock | undefined {
    return this.files.testLock(file, lock);
  }

  lock(file: HostFile, lock: FileLock): boolean {
    return this.files.lock(file, lock);
  }
}
