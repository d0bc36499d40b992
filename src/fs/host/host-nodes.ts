/**
 * Files of the host that the guest knows. Each is an inode, pinned by an O_PATH descriptor, which
 * cannot become another one: names are followed once, when the guest looks them up.
 *
 * There are fewer descriptors than a guest can know inodes. So they are closed again, the ones not
 * used for longest first, and opened when needed by parent and name, one step at a time, if what is
 * found there is still the same inode. What has lost its name keeps its descriptor.
 */
import { native } from '../../kvm/native.js';
import { StatField as S } from '../../kvm/native-fs.js';
import { errnoError, fsError } from '../errors.js';
import { FileType } from '../file-system.js';
import type { HostStat } from './host-stat.js';

/** How far below the root a descriptor is looked for again. */
const DEPTH_LIMIT = 4096;

/** An inode. */
export class HostNode {
  /** O_PATH descriptor, or -1 while it is closed. */
  fd = -1;
  /** It has been used since the last look for one to close. */
  used = false;
  /** Its name is gone: the descriptor is the only way to it. */
  pinned = false;
  forgotten = false;
  /** The next node with the same key. */
  next: HostNode | undefined;
  /** Descriptors that hold locks, by owner. */
  locks: Map<bigint, number> | undefined;

  constructor(
    /** Of {@link FileType}; an inode does not change it. */
    readonly type: number,
    readonly low: number,
    readonly high: number,
    readonly device: number,
    readonly birth: number,
    readonly birthNs: number,
    public parent: HostNode | undefined,
    public name: string,
  ) {}

  get key(): number {
    return this.high * 2 ** 32 + this.low;
  }

  /** True when the last `stat` is about this inode, and not about a later one with its number. */
  is(stat: HostStat): boolean {
    const { fields } = stat;
    return (
      this.low === fields[S.InoLow] &&
      this.high === fields[S.InoHigh] &&
      this.device === stat.device &&
      this.birth === fields[S.Btime] &&
      this.birthNs === fields[S.BtimeNs]
    );
  }
}

function nodeOf(stat: HostStat, parent: HostNode | undefined, name: string): HostNode {
  const { fields } = stat;
  return new HostNode(
    stat.mode & FileType.Mask,
    fields[S.InoLow]!,
    fields[S.InoHigh]!,
    stat.device,
    fields[S.Btime]!,
    fields[S.BtimeNs]!,
    parent,
    name,
  );
}

/** The table of nodes. */
export class HostNodes {
  readonly root: HostNode;
  private readonly table = new Map<number, HostNode>();
  /** Nodes whose descriptor may be closed, roughly the one not used for longest first. */
  private readonly open = new Set<HostNode>();
  private pinned = 0;
  private kept: HostNode | undefined;

  /**
   * @param rootFd a descriptor of the shared directory, which the table owns
   * @param limit the most descriptors
   */
  constructor(
    rootFd: number,
    private readonly stat: HostStat,
    private readonly limit: number,
  ) {
    this.root = nodeOf(stat.of(rootFd), undefined, '');
    this.root.fd = rootFd;
    this.insert(this.root);
  }

  /** Descriptors that are open, besides the root's. */
  get descriptors(): number {
    return this.open.size + this.pinned;
  }

  private insert(node: HostNode): void {
    node.next = this.table.get(node.key);
    this.table.set(node.key, node);
  }

  private remove(node: HostNode): void {
    let link = this.table.get(node.key);
    if (link === node) {
      if (node.next === undefined) this.table.delete(node.key);
      else this.table.set(node.key, node.next);
      return;
    }
    while (link !== undefined && link.next !== node) link = link.next;
    if (link !== undefined) link.next = node.next;
  }

  /** The node that the last `stat` is about, if the guest knows it. */
  find(): HostNode | undefined {
    const { fields } = this.stat;
    let node = this.table.get(fields[S.InoHigh]! * 2 ** 32 + fields[S.InoLow]!);
    while (node !== undefined && !node.is(this.stat)) node = node.next;
    return node;
  }

  /** The node for a descriptor, which the last `stat` is about; the table owns it from now on. */
  adopt(fd: number, parent: HostNode, name: string): HostNode {
    let node = this.find();
    if (node === undefined) {
      node = nodeOf(this.stat, parent, name);
      this.takeDescriptor(node, fd);
      this.insert(node);
    } else if (node.fd >= 0) {
      native().fsClose(fd);
    } else {
      this.takeDescriptor(node, fd);
    }
    node.used = true;
    // The latest name is the one that is there.
    this.moved(node, parent, name);
    return node;
  }

  /**
   * The node that the last `stat` is about, which was of a name, if the guest knows it and it has its
   * descriptor: an inode that a descriptor pins is no later one with its number.
   */
  meet(parent: HostNode, name: string): HostNode | undefined {
    const node = this.find();
    if (node === undefined || node.fd < 0) return undefined;
    node.used = true;
    this.moved(node, parent, name);
    return node;
  }

  private takeDescriptor(node: HostNode, fd: number): void {
    try {
      this.makeRoom();
    } catch (error) {
      native().fsClose(fd);
      throw error;
    }
    node.fd = fd;
    this.open.add(node);
  }

  /** Closes a descriptor when there are too many. @throws FsError ENFILE when none can be */
  makeRoom(): void {
    const { open } = this;
    if (open.size + this.pinned < this.limit) return;
    for (const node of open) {
      open.delete(node);
      const alone = open.size === 0;
      if (node === this.kept || (node.used && !alone)) {
        // A second chance.
        node.used = false;
        open.add(node);
        if (alone) break;
        continue;
      }
      native().fsClose(node.fd);
      node.fd = -1;
      return;
    }
    throw fsError('ENFILE');
  }

  /**
   * The descriptor of a node, valid until the next call for another one.
   * @throws FsError ESTALE when the node cannot be found again
   */
  fd(node: HostNode): number {
    node.used = true;
    if (node.fd >= 0) return node.fd;
    const path: HostNode[] = [];
    let top = node;
    while (top.fd < 0) {
      path.push(top);
      if (top.forgotten || top.parent === undefined || path.length > DEPTH_LIMIT) {
        throw fsError('ESTALE');
      }
      top = top.parent;
    }
    for (let i = path.length - 1; i >= 0; i--) this.reopen(path[i]!);
    return node.fd;
  }

  private reopen(node: HostNode): void {
    const fd = native().fsLookup(node.parent!.fd, node.name, this.stat.view);
    if (fd < 0) throw fsError(errnoError(-fd).code === 'EMFILE' ? 'ENFILE' : 'ESTALE');
    if (!node.is(this.stat)) {
      native().fsClose(fd);
      throw fsError('ESTALE');
    }
    this.takeDescriptor(node, fd);
    node.used = true;
  }

  /** Calls `use` with the descriptors of two nodes. */
  both<T>(first: HostNode, second: HostNode, use: (first: number, second: number) => T): T {
    const outer = this.kept;
    const fd = this.fd(first);
    this.kept = first;
    try {
      return use(fd, this.fd(second));
    } finally {
      this.kept = outer;
    }
  }

  /**
   * A name is about to be taken away or to become another file's: the node that has it, if the
   * guest knows one. Give it to {@link lostName} when it has happened.
   */
  behind(parent: HostNode, name: string): HostNode | undefined {
    const directory = this.fd(parent);
    if (native().fsStatName(directory, name, this.stat.view) < 0) return undefined;
    const node = this.find();
    if (node === undefined || node.fd >= 0) return node;
    const fd = native().fsLookup(directory, name, this.stat.view);
    if (fd < 0) return undefined;
    if (!node.is(this.stat)) {
      native().fsClose(fd);
      return undefined;
    }
    this.takeDescriptor(node, fd);
    return node;
  }

  /** The name of a node is gone. */
  lostName(node: HostNode | undefined, parent: HostNode, name: string): void {
    if (node?.parent !== parent || node.name !== name) return;
    if (node.pinned || node.fd < 0 || node === this.root) return;
    node.pinned = true;
    this.pinned++;
    this.open.delete(node);
  }

  /** A node has another name now. */
  moved(node: HostNode | undefined, parent: HostNode, name: string): void {
    if (node === undefined || node === this.root) return;
    node.parent = parent;
    node.name = name;
    if (node.pinned) this.unpin(node);
  }

  private unpin(node: HostNode): void {
    node.pinned = false;
    this.pinned--;
    this.open.add(node);
  }

  forget(node: HostNode): void {
    if (node === this.root || node.forgotten) return;
    node.forgotten = true;
    this.remove(node);
    if (node.pinned) this.pinned--;
    this.open.delete(node);
    if (node.fd >= 0) native().fsClose(node.fd);
    node.fd = -1;
  }

  /** Forgets all but the root. */
  clear(): void {
    for (let node of [...this.table.values()]) {
      for (;;) {
        const { next } = node;
        this.forget(node);
        if (next === undefined) break;
        node = next;
      }
    }
  }

  close(): void {
    this.clear();
    if (this.root.fd >= 0) native().fsClose(this.root.fd);
    this.root.fd = -1;
    this.root.forgotten = true;
  }
}
