/** Open files of the host: data, locks, and writing back. All by descriptor. */
import { constants } from 'node:fs';
import { native } from '../../kvm/native.js';
import { SyncKind } from '../../kvm/native-fs.js';
import { errno, errnoError, fsError } from '../errors.js';
import { FileType, type FileLock, type OpenFile } from '../file-system.js';
import type { IoVectors } from '../io-vectors.js';
import type { HostNode, HostNodes } from './host-nodes.js';
import type { HostStat } from './host-stat.js';

export type HostFile = OpenFile<HostNode, number>;

const O_ACCMODE = 3;
/** Flags of the guest that mean something here; O_DIRECT does not, the host's page cache is used. */
const PASSED = O_ACCMODE | constants.O_APPEND | constants.O_SYNC | constants.O_DSYNC;
/** No open waits for anything: not for a lease, and a FIFO is not opened in the first place. */
const ALWAYS = constants.O_NONBLOCK | constants.O_NOCTTY;
const SUID = 0o4000;
const SGID = 0o2000;
const GROUP_EXECUTE = 0o010;
const PERMISSIONS = 0o7777;
/** Types of fcntl(2). */
const F_TYPES: readonly FileLock['type'][] = ['read', 'write', 'unlock'];
/** Operations of flock(2). */
const FLOCK = { read: 1, write: 2, unlock: 8 } as const;
const LOCK_NB = 4;
const LAST_BYTE = 2n ** 63n - 1n;
/** Writing back at a time; the threads that do it are everybody's. */
const SYNC_LIMIT = 2;

/** @throws FsError for a negative result of a system call */
export function checked(result: number): number {
  if (result < 0) throw errnoError(-result);
  return result;
}

interface PendingSync {
  readonly fd: number;
  readonly kind: SyncKind;
  readonly done: (result: number) => void;
}

/** What can be done with files. */
export class HostFiles {
  /** Descriptors of files and locks. */
  count = 0;
  private readonly syncs: PendingSync[] = [];
  private syncing = 0;
  private readonly locked = new Set<HostNode>();
  private readonly answer = new DataView(new ArrayBuffer(24));

  /**
   * @param limit the most descriptors
   * @param privileged writing does not clear set-user-ID bits by itself (CAP_FSETID)
   */
  constructor(
    private readonly nodes: HostNodes,
    private readonly stat: HostStat,
    private readonly limit: number,
    private readonly readOnly: boolean,
    private readonly privileged: boolean,
  ) {}

  /** Flags for the host; the guest's kernel has taken care of O_CREAT, O_EXCL and the like. */
  hostFlags(flags: number): number {
    if (this.readOnly && (flags & O_ACCMODE) !== constants.O_RDONLY) throw fsError('EROFS');
    return (flags & PASSED) | ALWAYS;
  }

  /** @throws FsError ENFILE when there is no room for one more */
  reserve(): void {
    if (this.count >= this.limit) throw fsError('ENFILE');
  }

  private opened(fd: number): number {
    checked(fd);
    this.count++;
    return fd;
  }

  /** Notes a descriptor that was opened elsewhere. */
  own(fd: number): number {
    this.count++;
    return fd;
  }

  /**
   * Opens what an O_PATH descriptor refers to. What is no regular file is for the guest's own kernel
   * to open, and not for us.
   * @param type its {@link FileType}, which cannot change
   */
  open(path: number, type: number, flags: number, killPrivileges: boolean): number {
    if (type === FileType.Directory) throw fsError('EISDIR');
    if (type === FileType.Link) throw fsError('ELOOP');
    if (type !== FileType.Regular) throw fsError('ENXIO');
    this.reserve();
    const truncate = flags & constants.O_TRUNC;
    if (this.readOnly && truncate !== 0) throw fsError('EROFS');
    const fd = this.opened(native().fsReopen(path, this.hostFlags(flags) | truncate));
    if (killPrivileges && truncate !== 0) this.clearPrivileges(fd);
    return fd;
  }

  openDirectory(node: HostNode): number {
    this.reserve();
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | ALWAYS;
    if (node.type !== FileType.Directory) throw fsError('ENOTDIR');
    return this.opened(native().fsReopen(this.nodes.fd(node), flags));
  }

  close(fd: number): void {
    native().fsClose(fd);
    this.count--;
  }

  read(file: HostFile, offset: number, into: IoVectors): number {
    return checked(native().fsPreadv(file.handle, into.bytes, into.count, offset));
  }

  write(file: HostFile, offset: number, from: IoVectors, killPrivileges: boolean): number {
    if (this.readOnly) throw fsError('EROFS');
    const written = checked(native().fsPwritev(file.handle, from.bytes, from.count, offset));
    if (killPrivileges) this.clearPrivileges(file.handle);
    return written;
  }

  /** What the kernel does at a write by a process without CAP_FSETID. */
  clearPrivileges(fd: number): void {
    if (!this.privileged) return;
    const { mode } = this.stat.of(fd);
    let kept = mode & PERMISSIONS & ~SUID;
    if ((mode & GROUP_EXECUTE) !== 0) kept &= ~SGID;
    if (kept !== (mode & PERMISSIONS)) checked(native().fsChmod(fd, kept));
  }

  truncate(node: HostNode, size: number, file: HostFile | undefined): void {
    const writable = file !== undefined && (file.flags & O_ACCMODE) !== constants.O_RDONLY;
    if (writable) {
      checked(native().fsTruncate(file.handle, size));
      return;
    }
    const fd = this.open(this.nodes.fd(node), node.type, constants.O_WRONLY, false);
    try {
      checked(native().fsTruncate(fd, size));
    } finally {
      this.close(fd);
    }
  }

  /** Writes back in another thread. */
  sync(fd: number, kind: SyncKind): Promise<void> {
    return new Promise((resolve, reject) => {
      // The descriptor may be closed before its turn comes.
      const own = native().fsDuplicate(fd);
      const done = (result: number): void => {
        if (own >= 0) native().fsClose(own);
        if (result < 0) reject(errnoError(-result));
        else resolve();
      };
      if (own < 0) {
        done(own);
        return;
      }
      this.syncs.push({ fd: own, kind, done });
      this.nextSync();
    });
  }

  private nextSync(): void {
    if (this.syncing >= SYNC_LIMIT) return;
    const next = this.syncs.shift();
    if (next === undefined) return;
    this.syncing++;
    const queued = native().fsSync(next.fd, next.kind, (result) => {
      this.syncing--;
      next.done(result);
      this.nextSync();
    });
    if (queued < 0) {
      this.syncing--;
      next.done(queued);
    }
  }

  /** Takes a lock or gives it back; false when another is in the way. */
  lock(file: HostFile, lock: FileLock): boolean {
    if (lock.flock) {
      const result = native().fsFlock(file.handle, FLOCK[lock.type] | LOCK_NB);
      if (result === -errno.EWOULDBLOCK) return false;
      checked(result);
      return true;
    }
    const fd = this.lockDescriptor(file.node, lock);
    if (fd === undefined) return true;
    const result = this.posixLock(fd, 1, lock);
    if (result === -errno.EAGAIN || result === -errno.EACCES) return false;
    checked(result);
    return true;
  }

  private posixLock(fd: number, set: number, lock: FileLock): number {
    const length = lock.end === LAST_BYTE ? 0n : lock.end - lock.start + 1n;
    const type = F_TYPES.indexOf(lock.type);
    return native().fsLock(fd, set, type, lock.start, length, this.answer);
  }

  /**
   * Locks belong to open file descriptions here and to processes in the guest: each owner has a
   * descriptor of its own for each file it locks.
   */
  private lockDescriptor(node: HostNode, lock: FileLock): number | undefined {
    const known = node.locks?.get(lock.owner);
    if (known !== undefined || lock.type === 'unlock') return known;
    this.reserve();
    const path = this.nodes.fd(node);
    let fd = this.readOnly ? -errno.EROFS : native().fsReopen(path, constants.O_RDWR | ALWAYS);
    if (fd < 0) fd = native().fsReopen(path, constants.O_RDONLY | ALWAYS);
    this.opened(fd);
    node.locks ??= new Map();
    node.locks.set(lock.owner, fd);
    this.locked.add(node);
    return fd;
  }

  /** The lock that would be in the way. */
  testLock(file: HostFile, lock: FileLock): FileLock | undefined {
    const fd = file.node.locks?.get(lock.owner) ?? file.handle;
    checked(this.posixLock(fd, 0, lock));
    const type = F_TYPES[this.answer.getFloat64(0, true)];
    if (type === undefined || type === 'unlock') return undefined;
    const start = BigInt(this.answer.getFloat64(8, true));
    const length = BigInt(this.answer.getFloat64(16, true));
    const end = length === 0n ? LAST_BYTE : start + length - 1n;
    return { type, start, end, owner: 0n, pid: 0, flock: false };
  }

  /** A process has closed the file: its locks on it are gone, as POSIX has it. */
  dropLocks(node: HostNode, owner: bigint): void {
    const fd = node.locks?.get(owner);
    if (fd === undefined) return;
    this.close(fd);
    node.locks!.delete(owner);
  }

  dropAllLocks(node: HostNode): void {
    if (node.locks === undefined) return;
    for (const fd of node.locks.values()) this.close(fd);
    node.locks = undefined;
    this.locked.delete(node);
  }

  /** Nobody holds a lock any more. */
  reset(): void {
    for (const node of this.locked) this.dropAllLocks(node);
  }
}
