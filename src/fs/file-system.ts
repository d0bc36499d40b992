/**
 * What a guest can be given to mount: the interface between the FUSE server and a file system.
 *
 * Four methods make a file system that can be read: `lookup`, `attributes`, `list` and `read`.
 * Every other one adds something; what is missing the guest sees as ENOSYS, or does without. Each
 * may return its result or a promise of it, and throw an {@link FsError} or anything else whose
 * `code` is the name of an errno; what has none is EIO.
 *
 * Files, directories and links are nodes: objects of any kind, one object for one file. The server
 * gives them numbers and keeps them as long as the guest may name them.
 */
import type { IoVectors } from './io-vectors.js';

export type Awaitable<T> = T | Promise<T>;

/** Kinds of files, in the upper bits of {@link Attributes.mode}. */
export enum FileType {
  Mask = 0o170000,
  Socket = 0o140000,
  Link = 0o120000,
  Regular = 0o100000,
  Block = 0o060000,
  Directory = 0o040000,
  Character = 0o020000,
  Fifo = 0o010000,
}

/** What `stat` says of a node. Times are seconds since 1970, with nanoseconds beside them. */
export interface Attributes {
  /** {@link FileType} and permissions. */
  mode: number;
  /** Bytes; 0 unless given. */
  size?: number;
  /** Inode number as programs see it; the server's number of the node unless given. */
  ino?: number | bigint;
  /** Names of the node; 1 unless given. */
  links?: number;
  uid?: number;
  gid?: number;
  atime?: number;
  atimeNs?: number;
  mtime?: number;
  mtimeNs?: number;
  ctime?: number;
  ctimeNs?: number;
  /** Units of 512 bytes; by the size unless given. */
  blocks?: number;
  blockSize?: number;
  /** Device number of a device node, as Linux encodes it in 32 bits. */
  device?: number;
}

/** A node with its attributes. */
export interface Entry<Node> {
  node: Node;
  attributes: Attributes;
}

/** A name in a directory. */
export interface DirectoryEntry {
  readonly name: string;
  /** Of {@link FileType}; a regular file unless given. */
  readonly type?: number;
  readonly ino?: number | bigint;
}

/** The process in the guest that asks. The object is the server's: read it before you return. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** An open file or directory. */
export interface OpenFile<Node, Handle> {
  readonly node: Node;
  /** What `open`, `create` or `openDirectory` have returned. */
  readonly handle: Handle;
  /** As of open(2). */
  readonly flags: number;
}

/** What SETATTR changes; times are `'now'` or seconds. */
export interface AttributeChanges {
  /** Permissions, without the type. */
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  atime?: number | 'now';
  atimeNs?: number;
  mtime?: number | 'now';
  mtimeNs?: number;
  /** Clear the set-user-ID bit, and the set-group-ID bit of what its group can execute. */
  killPrivileges?: boolean;
}

/** A lock on a range of a file; `end` is the last byte, 2^63 - 1 for all that follow. */
export interface FileLock {
  readonly type: 'read' | 'write' | 'unlock';
  readonly start: bigint;
  readonly end: bigint;
  /** Names the owner within the guest. */
  readonly owner: bigint;
  readonly pid: number;
  /** A lock of flock(2): the whole file, owned by the open file. */
  readonly flock: boolean;
}

/** What `statfs` says. */
export interface FileSystemStatistics {
  blocks?: number;
  blocksFree?: number;
  blocksAvailable?: number;
  files?: number;
  filesFree?: number;
  blockSize?: number;
  fragmentSize?: number;
  nameLength?: number;
}

/** Takes entries of a directory for {@link FileSystem.readDirectory}. */
export interface DirectoryWriter<Node> {
  /** The guest wants nodes with the names (READDIRPLUS). */
  readonly plus: boolean;
  /**
   * Adds a name. False when it did not fit, and nothing was added.
   * @param next where the entry after this one starts
   */
  add(name: string, type: number, ino: number | bigint, next: number | bigint): boolean;
  /** Adds a name with its node, which the guest then knows as if it had looked it up. */
  addEntry(name: string, entry: Entry<Node>, next: number | bigint): boolean;
  /** True when a name of so many bytes fits. */
  fits(nameBytes: number): boolean;
}

/** How long a guest may remember what it has been told; see docs/devices/fs.md. */
export type CacheMode = 'none' | 'auto' | 'always';

/** RENAME_NOREPLACE and RENAME_EXCHANGE of renameat2(2). */
export enum RenameFlag {
  NoReplace = 1,
  Exchange = 2,
}

/** A file system. See the top of the file. */
export interface FileSystem<Node extends object = object, Handle = unknown> {
  readonly root: Node;
  /**
   * How names and link targets become strings: UTF-8, where other names do not exist, or with one
   * byte a character. UTF-8 unless given.
   */
  readonly names?: 'utf8' | 'bytes';

  /** A name in a directory; undefined when it is not there. */
  lookup(parent: Node, name: string, caller: Caller): Awaitable<Entry<Node> | undefined>;
  /** @param file an open file of the node, where the guest has named one */
  attributes(node: Node, file: OpenFile<Node, Handle> | undefined): Awaitable<Attributes>;
  /** The guest has forgotten the node; it gets to know it again by a lookup only. */
  forget?(node: Node): void;
  /** The guest has unmounted or reset: all nodes are forgotten, all files closed. */
  reset?(): void;
  /** The machine is off; called after {@link reset}. */
  close?(): void;

  setAttributes?(
    node: Node,
    changes: AttributeChanges,
    file: OpenFile<Node, Handle> | undefined,
    caller: Caller,
  ): Awaitable<Attributes>;
  readLink?(node: Node): Awaitable<string>;
  symlink?(parent: Node, name: string, target: string, caller: Caller): Awaitable<Entry<Node>>;
  /** @param mode the kind (regular, FIFO or socket) and permissions */
  makeNode?(parent: Node, name: string, mode: number, caller: Caller): Awaitable<Entry<Node>>;
  makeDirectory?(parent: Node, name: string, mode: number, caller: Caller): Awaitable<Entry<Node>>;
  unlink?(parent: Node, name: string): Awaitable<void>;
  removeDirectory?(parent: Node, name: string): Awaitable<void>;
  /** @param flags of {@link RenameFlag} */
  rename?(
    parent: Node,
    name: string,
    newParent: Node,
    newName: string,
    flags: number,
  ): Awaitable<void>;
  link?(node: Node, newParent: Node, newName: string): Awaitable<Entry<Node>>;

  /** Opens a file; without it every file opens, with an undefined handle. */
  open?(node: Node, flags: number, killPrivileges: boolean, caller: Caller): Awaitable<Handle>;
  create?(
    parent: Node,
    name: string,
    mode: number,
    flags: number,
    caller: Caller,
  ): Awaitable<Entry<Node> & { handle: Handle }>;
  /** At most `size` bytes, fewer at the end of the file only. */
  read?(file: OpenFile<Node, Handle>, offset: number, size: number): Awaitable<Uint8Array>;
  /** The same, into memory; returns how many bytes. Preferred to `read`. */
  readInto?(file: OpenFile<Node, Handle>, offset: number, into: IoVectors): Awaitable<number>;
  /** Returns how many bytes have been written; all, when nothing is returned. */
  write?(
    file: OpenFile<Node, Handle>,
    offset: number,
    data: Uint8Array,
    killPrivileges: boolean,
  ): Awaitable<number | undefined>;
  /** The same, from memory that may change meanwhile. Preferred to `write`. */
  writeFrom?(
    file: OpenFile<Node, Handle>,
    offset: number,
    from: IoVectors,
    killPrivileges: boolean,
  ): Awaitable<number>;
  /** A process has closed the file; others may have it open. Without this the guest does not say so. */
  flush?(file: OpenFile<Node, Handle>, lockOwner: bigint): Awaitable<void>;
  /** The same, with shared locks: the POSIX locks that the process has on the file are gone. */
  dropLocks?(file: OpenFile<Node, Handle>, lockOwner: bigint): void;
  /** The last of them has. */
  release?(file: OpenFile<Node, Handle>): void;
  sync?(file: OpenFile<Node, Handle>, dataOnly: boolean): Awaitable<void>;
  syncFileSystem?(): Awaitable<void>;
  /** fallocate(2). */
  allocate?(
    file: OpenFile<Node, Handle>,
    mode: number,
    offset: number,
    length: number,
  ): Awaitable<void>;
  /** lseek(2) for SEEK_DATA and SEEK_HOLE. */
  seek?(file: OpenFile<Node, Handle>, offset: number, whence: number): Awaitable<number>;
  /** Returns how many bytes have been copied; may be fewer than `length`. */
  copyRange?(
    from: OpenFile<Node, Handle>,
    offset: number,
    to: OpenFile<Node, Handle>,
    toOffset: number,
    length: number,
  ): Awaitable<number>;

  /** The names in a directory, without `.` and `..`. Asked for at each opendir and rewinddir. */
  list?(directory: Node): Awaitable<Iterable<DirectoryEntry>>;
  openDirectory?(node: Node, caller: Caller): Awaitable<Handle>;
  /** Entries from an offset on, until one does not fit. Preferred to `list`. */
  readDirectory?(
    directory: OpenFile<Node, Handle>,
    offset: bigint,
    writer: DirectoryWriter<Node>,
    caller: Caller,
  ): void;

  statistics?(node: Node): Awaitable<FileSystemStatistics>;
  getXattr?(node: Node, name: string): Awaitable<Uint8Array>;
  listXattrs?(node: Node): Awaitable<readonly string[]>;
  /** @param flags XATTR_CREATE (1) or XATTR_REPLACE (2) */
  setXattr?(node: Node, name: string, value: Uint8Array, flags: number): Awaitable<void>;
  removeXattr?(node: Node, name: string): Awaitable<void>;

  /** A lock that conflicts, or undefined. Without `lock` and this, guests lock among themselves. */
  testLock?(file: OpenFile<Node, Handle>, lock: FileLock): Awaitable<FileLock | undefined>;
  /** Takes or gives a lock back, without waiting: false when another one is in the way. */
  lock?(file: OpenFile<Node, Handle>, lock: FileLock): Awaitable<boolean>;
}
