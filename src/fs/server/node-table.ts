/** Which nodes the guest knows, and by which numbers. */
import { fsError } from '../errors.js';
import { ROOT_ID } from '../fuse/protocol.js';

interface Known<Node> {
  readonly id: number;
  readonly node: Node;
  /** How often the guest has been given the node; it says how many of them it forgets. */
  lookups: number;
}

/** Nodes by number. Numbers are never used again, so a stale one is nobody's. */
export class NodeTable<Node extends object> {
  private readonly byId = new Map<number, Known<Node>>();
  private readonly byNode = new Map<Node, Known<Node>>();
  private nextId = ROOT_ID + 1;

  /** @param limit the most nodes a guest may know at a time */
  constructor(
    private readonly root: Node,
    private readonly limit: number,
  ) {
    this.clear();
  }

  get size(): number {
    return this.byId.size;
  }

  /** No other nodes can be remembered than those the guest knows. */
  get full(): boolean {
    return this.byId.size >= this.limit;
  }

  /** The guest knows the node. */
  knows(node: Node): boolean {
    return this.byNode.has(node);
  }

  /** @throws FsError ESTALE when the guest has no node of that number */
  get(id: number): Node {
    const known = this.byId.get(id);
    if (known === undefined) throw fsError('ESTALE');
    return known.node;
  }

  /** The guest is given a node: its number. @throws FsError ENFILE when it knows too many */
  remember(node: Node): number {
    let known = this.byNode.get(node);
    if (known === undefined) {
      if (this.full) throw fsError('ENFILE');
      known = { id: this.nextId++, node, lookups: 0 };
      this.byId.set(known.id, known);
      this.byNode.set(node, known);
    }
    known.lookups++;
    return known.id;
  }

  /** The guest forgets some of its lookups. Returns the node when these were the last. */
  forget(id: number, lookups: number): Node | undefined {
    const known = this.byId.get(id);
    if (known === undefined || id === ROOT_ID) return undefined;
    known.lookups -= Math.min(lookups, known.lookups);
    if (known.lookups > 0) return undefined;
    this.byId.delete(id);
    this.byNode.delete(known.node);
    return known.node;
  }

  /** Nothing but the root. Returns the nodes that have been forgotten. */
  clear(): void {
    this.byId.clear();
    this.byNode.clear();
    const known = { id: ROOT_ID, node: this.root, lookups: 1 };
    this.byId.set(ROOT_ID, known);
    this.byNode.set(this.root, known);
  }
}
