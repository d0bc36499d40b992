/** virtio-fs: the queues of the file system device, with a server behind it. */
import { FsDevice, type RequestServer } from '../../../src/devices/virtio/fs/fs.js';
import type { FuseRequest } from '../../../src/fs/fuse/request.js';
import { FuseServer } from '../../../src/fs/server/fuse-server.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import { PROMPT_KINDS, fuseMessage, initMessage } from './fuse-message.js';
import type { Piece } from './fuzz-ring.js';
import { MemoryTree, type TreeNode } from './memory-tree.js';

const ANSWER = 4096;

/** A fresh server for each case: numbers of nodes and files are never used again. */
class FreshServer implements RequestServer {
  private server!: FuseServer<TreeNode, number | undefined>;

  constructor(private readonly tree: MemoryTree) {
    this.renew();
  }
  renew(): void {
    this.server = new FuseServer(this.tree, { maxNodes: 20, maxFiles: 10 });
  }
  handle(request: FuseRequest): void {
    this.server.handle(request);
  }
  reset(): void {
    this.server.reset();
  }
  close(): void {
    this.server.close();
  }
  get waiting(): number {
    return this.server.waiting;
  }
}

class FsSpec implements DeviceSpec<FsDevice> {
  private readonly tree = new MemoryTree();
  private readonly server = new FreshServer(this.tree);
  readonly device = new FsDevice({ tag: 'share', server: this.server });

  begin(made: DeviceCase<FsDevice>): void {
    this.server.reset();
    this.server.renew();
    this.tree.fill();
    this.works(made);
    made.ram.bytes.fill(0, HEALTH);
  }

  request(made: DeviceCase<FsDevice>, input: Input): Piece[] {
    const message = fuseMessage(input, PROMPT_KINDS, 2);
    const pieces = [made.readable(message)];
    if (!input.chance(32)) pieces.push(made.writable(input.chance(32) ? input.u8() : ANSWER));
    return pieces;
  }

  works(made: DeviceCase<FsDevice>): void {
    must(this.server.waiting === 0, 'nobody waits');
    const message = initMessage();
    made.ram.write(HEALTH, message);
    const used = made.ask(1, [
      { address: HEALTH, length: message.length, writable: false },
      { address: HEALTH + 0x1000, length: 80, writable: true },
    ]);
    must(used.length === 1 && used[0] === 80, 'INIT is answered');
    must(made.ram.get32(HEALTH + 0x1004) === 0, 'INIT succeeds');
  }
}

export const target: FuzzTarget = {
  name: 'fs',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 12, 2, 0, 0, 0, 0, 2),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  ],
  open: () => new DeviceCase(new FsSpec()),
};
