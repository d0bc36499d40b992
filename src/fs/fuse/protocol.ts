/** Numbers of linux/fuse.h, version 7.38. */

/** `opcode` of a request. */
export enum Opcode {
  Lookup = 1,
  Forget = 2,
  GetAttr = 3,
  SetAttr = 4,
  ReadLink = 5,
  Symlink = 6,
  MkNod = 8,
  MkDir = 9,
  Unlink = 10,
  RmDir = 11,
  Rename = 12,
  Link = 13,
  Open = 14,
  Read = 15,
  Write = 16,
  StatFs = 17,
  Release = 18,
  FSync = 20,
  SetXattr = 21,
  GetXattr = 22,
  ListXattr = 23,
  RemoveXattr = 24,
  Flush = 25,
  Init = 26,
  OpenDir = 27,
  ReadDir = 28,
  ReleaseDir = 29,
  FSyncDir = 30,
  GetLk = 31,
  SetLk = 32,
  SetLkW = 33,
  Access = 34,
  Create = 35,
  Interrupt = 36,
  BMap = 37,
  Destroy = 38,
  IoCtl = 39,
  Poll = 40,
  NotifyReply = 41,
  BatchForget = 42,
  FAllocate = 43,
  ReadDirPlus = 44,
  Rename2 = 45,
  LSeek = 46,
  CopyFileRange = 47,
  SetupMapping = 48,
  RemoveMapping = 49,
  SyncFs = 50,
  TmpFile = 51,
}

/** Flags of INIT, bits 0 to 31. */
export enum InitFlag {
  AsyncRead = 1 << 0,
  PosixLocks = 1 << 1,
  AtomicOTrunc = 1 << 3,
  BigWrites = 1 << 5,
  FlockLocks = 1 << 10,
  AutoInvalData = 1 << 12,
  DoReadDirPlus = 1 << 13,
  ReadDirPlusAuto = 1 << 14,
  AsyncDio = 1 << 15,
  WritebackCache = 1 << 16,
  ParallelDirOps = 1 << 18,
  MaxPages = 1 << 22,
  CacheSymlinks = 1 << 23,
  HandleKillPrivV2 = 1 << 28,
  InitExt = 1 << 30,
}

/** `valid` of SETATTR. */
export enum AttrValid {
  Mode = 1 << 0,
  Uid = 1 << 1,
  Gid = 1 << 2,
  Size = 1 << 3,
  Atime = 1 << 4,
  Mtime = 1 << 5,
  Handle = 1 << 6,
  AtimeNow = 1 << 7,
  MtimeNow = 1 << 8,
  LockOwner = 1 << 9,
  Ctime = 1 << 10,
  KillSuidGid = 1 << 11,
}

/** `open_flags` of the answers to OPEN, OPENDIR and CREATE. */
export enum OpenReply {
  DirectIo = 1 << 0,
  KeepCache = 1 << 1,
  CacheDir = 1 << 3,
}

/** FUSE_GETATTR_FH. */
export const GETATTR_HANDLE = 1;
/** FUSE_OPEN_KILL_SUIDGID. */
export const OPEN_KILL_SUIDGID = 1;
/** FUSE_WRITE_KILL_SUIDGID. */
export const WRITE_KILL_SUIDGID = 1 << 2;
/** FUSE_LK_FLOCK. */
export const LOCK_FLOCK = 1;
/** FUSE_FSYNC_FDATASYNC. */
export const FSYNC_DATA = 1;

/** Types of `fuse_file_lock`, those of fcntl(2). */
export enum LockType {
  Read,
  Write,
  Unlock,
}

/** FUSE_ROOT_ID. */
export const ROOT_ID = 1;
export const MAJOR = 7;
export const MINOR = 38;
/** Of Linux 5.4, the first with virtio-fs. */
export const OLDEST_MINOR = 31;

/** Sizes of structures. */
export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
export const ATTR_BYTES = 88;
export const ENTRY_OUT_BYTES = 128;
export const ATTR_OUT_BYTES = 104;
export const OPEN_OUT_BYTES = 16;
export const STATFS_OUT_BYTES = 80;
export const DIRENT_BYTES = 24;
export const IO_IN_BYTES = 40;

/** Largest READ and WRITE. */
export const MAX_TRANSFER = 2 ** 20;
export const PAGE = 4096;
/** NAME_MAX and PATH_MAX of Linux. */
export const NAME_LIMIT = 255;
export const PATH_LIMIT = 4096;
/** XATTR_SIZE_MAX and XATTR_NAME_MAX. */
export const XATTR_SIZE_LIMIT = 65536;
export const XATTR_NAME_LIMIT = 255;
