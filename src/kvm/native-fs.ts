/**
 * The addon's system calls of a shared directory. They return a result, or a negative errno; names
 * are strings with one byte a character.
 */

/** Fields that `fsLookup`, `fsStat` and `fsStatName` fill; `native/fs.h` has the same list. */
export enum StatField {
  Mode,
  Links,
  Uid,
  Gid,
  RdevMajor,
  RdevMinor,
  Size,
  Blocks,
  BlockSize,
  InoLow,
  InoHigh,
  DevMajor,
  DevMinor,
  Atime,
  AtimeNs,
  Mtime,
  MtimeNs,
  Ctime,
  CtimeNs,
  Btime,
  BtimeNs,
  Count,
}

/** Fields that `fsStatFs` fills. */
export enum StatFsField {
  Blocks,
  BlocksFree,
  BlocksAvailable,
  Files,
  FilesFree,
  BlockSize,
  NameLength,
  FragmentSize,
  Count,
}

/** What `fsSync` writes back. */
export enum SyncKind {
  File,
  Data,
  FileSystem,
}

/** Functions of `native/bind_fs_*.cc`. Misuse throws a TypeError. */
export interface NativeFs {
  /** One step of a path with openat2: never leaves the directory, follows no link. */
  fsOpenBeneath(dirFd: number, name: string, flags: number, mode: number): number;
  /** The same for an O_PATH descriptor, with its attributes. */
  fsLookup(dirFd: number, name: string, fields: DataView): number;
  fsStat(fd: number, fields: DataView): number;
  /** Attributes of a name in a directory, not followed; EXDEV for what is no single name. */
  fsStatName(dirFd: number, name: string, fields: DataView): number;
  fsStatFs(fd: number, fields: DataView): number;
  /** Opens what a descriptor refers to once more. */
  fsReopen(fd: number, flags: number): number;
  fsClose(fd: number): number;
  fsDuplicate(fd: number): number;
  fsMakeDirectory(dirFd: number, name: string, mode: number): number;
  fsMakeNode(dirFd: number, name: string, mode: number): number;
  fsSymlink(target: string, dirFd: number, name: string): number;
  fsLink(fd: number, dirFd: number, name: string): number;
  fsRename(dirFd: number, name: string, newDirFd: number, newName: string, flags: number): number;
  fsUnlink(dirFd: number, name: string, flags: number): number;
  fsReadLink(fd: number): string | number;
  /** -1 leaves one of them as it is. */
  fsChown(fd: number, uid: number, gid: number): number;
  fsChmod(fd: number, mode: number): number;
  fsSetTimes(fd: number, atime: number, atimeNs: number, mtime: number, mtimeNs: number): number;
  fsTruncate(fd: number, size: number): number;
  /** `iovecs` are `struct iovec` with addresses of this process, all of them checked. */
  fsPreadv(fd: number, iovecs: Uint8Array, count: number, offset: number): number;
  fsPwritev(fd: number, iovecs: Uint8Array, count: number, offset: number): number;
  /** getdents64, from `seek` on unless it is negative. */
  fsReadDirectory(fd: number, buffer: Uint8Array, seek: number | bigint): number;
  /** An empty buffer asks for the size; so with `fsListXattr`. */
  fsGetXattr(fd: number, name: string, buffer: Uint8Array): number;
  fsListXattr(fd: number, buffer: Uint8Array): number;
  fsSetXattr(fd: number, name: string, value: Uint8Array, flags: number): number;
  fsRemoveXattr(fd: number, name: string): number;
  fsAllocate(fd: number, mode: number, offset: number, length: number): number;
  fsSeek(fd: number, offset: number, whence: number): number;
  fsCopyRange(fd: number, offset: number, toFd: number, toOffset: number, length: number): number;
  fsFlock(fd: number, operation: number): number;
  /** An open file description lock, without waiting. A question is answered in three doubles. */
  fsLock(
    fd: number,
    set: number,
    type: number,
    start: number | bigint,
    length: number | bigint,
    answer: DataView,
  ): number;
  /** Writes back in a thread of the pool; the descriptor may be closed meanwhile. */
  fsSync(fd: number, kind: SyncKind, callback: (result: number) => void): number;
}
