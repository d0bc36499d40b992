import {
  FileType,
  FsError,
  type Attributes,
  type Entry,
  type FileSystem,
} from '../../../src/fs/index.js';

/** A directory is an object, a file a string; a function is a file that is made when it is read. */
export interface Tree {
  [name: string]: Tree | string | (() => Promise<string>);
}

interface Node {
  value: Tree[string];
}

/** Serves an object tree: readable, and files can be written, made and removed. */
export class TreeFileSystem implements FileSystem<Node> {
  readonly root: Node;
  /** One node for one file: the server tells files apart by their nodes. */
  private readonly children = new WeakMap<Node, Map<string, Node>>();

  constructor(tree: Tree) {
    this.root = { value: tree };
  }

  private directory(node: Node): Map<string, Node> {
    if (typeof node.value !== 'object') throw new FsError('ENOTDIR');
    let children = this.children.get(node);
    if (children === undefined) {
      const entries = Object.entries(node.value);
      children = new Map(entries.map(([name, value]) => [name, { value }]));
      this.children.set(node, children);
    }
    return children;
  }

  private async text(node: Node): Promise<string> {
    if (typeof node.value === 'function') node.value = await node.value();
    if (typeof node.value !== 'string') throw new FsError('EISDIR');
    return node.value;
  }

  async attributes(node: Node): Promise<Attributes> {
    if (typeof node.value === 'object') return { mode: FileType.Directory | 0o755 };
    return { mode: FileType.Regular | 0o644, size: Buffer.byteLength(await this.text(node)) };
  }

  async lookup(parent: Node, name: string): Promise<Entry<Node> | undefined> {
    const node = this.directory(parent).get(name);
    return node && { node, attributes: await this.attributes(node) };
  }

  list(node: Node): { name: string; type: FileType }[] {
    return Array.from(this.directory(node), ([name, { value }]) => ({
      name,
      type: typeof value === 'object' ? FileType.Directory : FileType.Regular,
    }));
  }

  async read({ node }: { node: Node }, offset: number, size: number): Promise<Uint8Array> {
    return Buffer.from(await this.text(node)).subarray(offset, offset + size);
  }

  // What follows is for writing.

  async create(parent: Node, name: string): Promise<Entry<Node> & { handle: undefined }> {
    const node = this.directory(parent).get(name) ?? { value: '' };
    this.directory(parent).set(name, node);
    return { node, attributes: await this.attributes(node), handle: undefined };
  }

  async makeDirectory(parent: Node, name: string): Promise<Entry<Node>> {
    if (this.directory(parent).has(name)) throw new FsError('EEXIST');
    const node: Node = { value: {} };
    this.directory(parent).set(name, node);
    return { node, attributes: await this.attributes(node) };
  }

  async write({ node }: { node: Node }, offset: number, data: Uint8Array): Promise<number> {
    const old = Buffer.from(await this.text(node));
    const file = Buffer.alloc(Math.max(old.length, offset + data.length));
    file.set(old);
    file.set(data, offset);
    node.value = file.toString();
    return data.length;
  }

  async setAttributes(node: Node, changes: { size?: number }): Promise<Attributes> {
    if (changes.size !== undefined) node.value = (await this.text(node)).slice(0, changes.size);
    return this.attributes(node);
  }

  unlink(parent: Node, name: string): void {
    if (!this.directory(parent).delete(name)) throw new FsError('ENOENT');
  }
}
