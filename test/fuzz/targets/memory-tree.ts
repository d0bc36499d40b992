/** A file system in memory with every method there is, bounded in all directions. */
import { fsError } from '../../../src/fs/errors.js';
import {
  FileType,
  type AttributeChanges,
  type Attributes,
  type Awaitable,
  type DirectoryEntry,
  type Entry,
  type FileLock,
  type FileSystem,
  type OpenFile,
} from '../../../src/fs/file-system.js';

const MOST_BYTES = 8192;
const MOST_NAMES = 24;

export class TreeNode {
  bytes = new Uint8Array(0);
  links = 1;
  times = 0;
  readonly xattrs = new Map<string, Uint8Array>();
  readonly children: Map<string, TreeNode> | undefined;
  lock: FileLock | undefined;

  constructor(
    public mode: number,
    public target = '',
  ) {
    const isDirectory = (mode & (FileType.Mask as number)) === (FileType.Directory as number);
    this.children = isDirectory ? new Map<string, TreeNode>() : undefined;
  }
}

type File = OpenFile<TreeNode, number>;

export class MemoryTree implements FileSystem<TreeNode, number> {
  readonly root = new TreeNode(FileType.Directory | 0o755);
  /** Answers come later. */
  slow = false;
  /** Files that are open. */
  opened = 0;

  constructor() {
    this.fill();
  }

  /** As it was in the beginning. */
  fill(): void {
    const children = this.root.children!;
    children.clear();
    this.root.xattrs.clear();
    this.root.mode = FileType.Directory | 0o755;
    const file = new TreeNode(FileType.Regular | 0o644);
    file.bytes = new Uint8Array(300).fill(65);
    const directory = new TreeNode(FileType.Directory | 0o755);
    directory.children!.set('b', new TreeNode(FileType.Regular | 0o600));
    children.set('a', file);
    children.set('dir', directory);
    children.set('link', new TreeNode(FileType.Link | 0o777, 'a'));
  }

  private done<T>(value: T): Awaitable<T> {
    return this.slow ? Promise.resolve(value) : value;
  }

  private entriesOf(node: TreeNode): Map<string, TreeNode> {
    if (node.children === undefined) throw fsError('ENOTDIR');
    return node.children;
  }

  private stat({ mode, bytes, links, times }: TreeNode): Attributes {
    return { mode, size: bytes.length, links, mtime: times };
  }

  private entry(node: TreeNode): Entry<TreeNode> {
    return { node, attributes: this.stat(node) };
  }

  private add(parent: TreeNode, name: string, node: TreeNode): Entry<TreeNode> {
    const names = this.entriesOf(parent);
    if (names.has(name)) throw fsError('EEXIST');
    if (names.size >= MOST_NAMES) throw fsError('ENOSPC');
    names.set(name, node);
    return this.entry(node);
  }

  lookup(parent: TreeNode, name: string): Awaitable<Entry<TreeNode> | undefined> {
    const node = this.entriesOf(parent).get(name);
    return this.done(node && this.entry(node));
  }

  attributes(node: TreeNode): Awaitable<Attributes> {
    return this.done(this.stat(node));
  }

  setAttributes(node: TreeNode, changes: AttributeChanges): Awaitable<Attributes> {
    const { mode, size, mtime } = changes;
    if (mode !== undefined) node.mode = (node.mode & ~0o7777) | (mode & 0o7777);
    if (size !== undefined) this.resize(node, size);
    if (typeof mtime === 'number') node.times = mtime;
    return this.done(this.stat(node));
  }

  private resize(node: TreeNode, size: number): void {
    if (!(size >= 0 && size <= MOST_BYTES)) throw fsError('EFBIG');
    const bytes = new Uint8Array(size);
    bytes.set(node.bytes.subarray(0, size));
    node.bytes = bytes;
  }

  readLink(node: TreeNode): Awaitable<string> {
    return this.done(node.target);
  }

  symlink(parent: TreeNode, name: string, target: string): Awaitable<Entry<TreeNode>> {
    return this.done(this.add(parent, name, new TreeNode(FileType.Link | 0o777, target)));
  }

  makeNode(parent: TreeNode, name: string, mode: number): Awaitable<Entry<TreeNode>> {
    return this.done(this.add(parent, name, new TreeNode(mode)));
  }

  makeDirectory(parent: TreeNode, name: string, mode: number): Awaitable<Entry<TreeNode>> {
    const node = new TreeNode(FileType.Directory | (mode & 0o7777));
    return this.done(this.add(parent, name, node));
  }

  unlink(parent: TreeNode, name: string): Awaitable<void> {
    if (!this.entriesOf(parent).delete(name)) throw fsError('ENOENT');
    return this.done(undefined);
  }

  removeDirectory(parent: TreeNode, name: string): Awaitable<void> {
    return this.unlink(parent, name);
  }

  rename(parent: TreeNode, name: string, to: TreeNode, newName: string): Awaitable<void> {
    const node = this.entriesOf(parent).get(name);
    if (node === undefined) throw fsError('ENOENT');
    this.entriesOf(parent).delete(name);
    this.entriesOf(to).set(newName, node);
    return this.done(undefined);
  }

  link(node: TreeNode, parent: TreeNode, name: string): Awaitable<Entry<TreeNode>> {
    return this.done(this.add(parent, name, node));
  }

  open(node: TreeNode): Awaitable<number> {
    if (node.children !== undefined) throw fsError('EISDIR');
    return this.done(++this.opened);
  }

  create(
    parent: TreeNode,
    name: string,
    mode: number,
  ): Awaitable<Entry<TreeNode> & { handle: number }> {
    const node = new TreeNode(FileType.Regular | (mode & 0o7777));
    return this.done({ ...this.add(parent, name, node), handle: ++this.opened });
  }

  read({ node }: File, offset: number, size: number): Awaitable<Uint8Array> {
    return this.done(node.bytes.subarray(offset, offset + size));
  }

  write({ node }: File, offset: number, data: Uint8Array): Awaitable<number> {
    const end = offset + data.length;
    if (end > MOST_BYTES) throw fsError('ENOSPC');
    if (end > node.bytes.length) this.resize(node, end);
    node.bytes.set(data, offset);
    return this.done(data.length);
  }

  flush(): Awaitable<void> {
    return this.done(undefined);
  }

  /** Of directories too, which have no handle. */
  release({ handle }: OpenFile<TreeNode, number | undefined>): void {
    if (handle !== undefined) this.opened--;
  }

  sync(): Awaitable<void> {
    return this.done(undefined);
  }

  syncFileSystem(): Awaitable<void> {
    return this.done(undefined);
  }

  allocate({ node }: File, _: number, offset: number, length: number): Awaitable<void> {
    this.resize(node, Math.max(node.bytes.length, offset + length));
    return this.done(undefined);
  }

  seek(_: File, offset: number): Awaitable<number> {
    return this.done(offset);
  }

  copyRange(from: File, at: number, to: File, toAt: number, length: number): Awaitable<number> {
    return this.write(to, toAt, from.node.bytes.slice(at, at + Math.min(length, 4096)));
  }

  list(directory: TreeNode): Awaitable<Iterable<DirectoryEntry>> {
    return this.done(
      Array.from(this.entriesOf(directory), ([name, { mode }]) => ({
        name,
        type: mode & 0o170000,
      })),
    );
  }

  statistics(): Awaitable<{ blocks: number }> {
    return this.done({ blocks: 1000 });
  }

  getXattr(node: TreeNode, name: string): Awaitable<Uint8Array> {
    const value = node.xattrs.get(name);
    if (value === undefined) throw fsError('ENODATA');
    return this.done(value);
  }

  listXattrs(node: TreeNode): Awaitable<readonly string[]> {
    return this.done([...node.xattrs.keys()]);
  }

  setXattr(node: TreeNode, name: string, value: Uint8Array): Awaitable<void> {
    if (node.xattrs.size >= MOST_NAMES) throw fsError('ENOSPC');
    node.xattrs.set(name, value.slice());
    return this.done(undefined);
  }

  removeXattr(node: TreeNode, name: string): Awaitable<void> {
    if (!node.xattrs.delete(name)) throw fsError('ENODATA');
    return this.done(undefined);
  }

  testLock({ node }: File): Awaitable<FileLock | undefined> {
    return this.done(node.lock);
  }

  lock({ node }: File, lock: FileLock): Awaitable<boolean> {
    if (lock.type === 'unlock') node.lock = undefined;
    else if (node.lock !== undefined && node.lock.owner !== lock.owner) return this.done(false);
    else node.lock = lock;
    return this.done(true);
  }
}
