/** The FUSE server: each request is answered once, and a reset gives everything back. */
import { OUT_HEADER_BYTES } from '../../../src/fs/fuse/protocol.js';
import { FuseRequest, type Sink, type Source } from '../../../src/fs/fuse/request.js';
import { FuseServer } from '../../../src/fs/server/fuse-server.js';
import { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { ALL_KINDS, fuseMessage, initMessage } from './fuse-message.js';
import { MemoryTree } from './memory-tree.js';

const MOST_REQUESTS = 20;
const MOST_NODES = 20;
const MOST_FILES = 10;
const MOST_LINES = 5000;
const CACHES = ['auto', 'none', 'always'] as const;

class Message implements Source, Sink {
  private readonly bytes: Uint8Array;
  private at = 0;
  readonly answer: Uint8Array;
  private filled = 0;

  constructor(bytes: Uint8Array, room: number) {
    this.bytes = bytes.slice();
    this.answer = new Uint8Array(room);
  }
  get length(): number {
    return this.bytes.length - this.at;
  }
  read(target: Uint8Array, offset = 0, length = target.length - offset): number {
    const piece = this.bytes.subarray(this.at, this.at + length);
    target.set(piece, offset);
    this.at += piece.length;
    return piece.length;
  }
  iovecs(): number {
    return 0;
  }
  write(source: Uint8Array, offset = 0, length = source.length - offset): number {
    const piece = source.subarray(offset, offset + Math.min(length, this.sink.length));
    this.answer.set(piece, this.filled);
    this.filled += piece.length;
    return piece.length;
  }

  /** The other side of the same object. */
  readonly sink: Sink = sinkOf(this);
  get room(): number {
    return this.answer.length - this.filled;
  }
}

function sinkOf(message: Message): Sink {
  return {
    get length() {
      return message.room;
    },
    write: (source, offset, length) => message.write(source, offset, length),
    iovecs: () => 0,
  };
}

class FuseCase {
  private readonly tree = new MemoryTree();
  private lines = 0;
  private sent = 0;
  private answered = 0;

  run(bytes: Uint8Array): void | Promise<void> {
    const input = new Input(bytes);
    const flags = input.u8();
    // A fresh one: numbers of nodes and files are never used again, and a case has to know them.
    const server = new FuseServer(this.tree, {
      maxNodes: MOST_NODES,
      maxFiles: MOST_FILES,
      locks: (flags & 1) === 0 ? 'guest' : 'shared',
      cache: CACHES[(flags >> 4) % CACHES.length]!,
      readOnly: flags >= 224,
      warn: () => this.lines++,
    });
    this.tree.fill();
    this.tree.slow = (flags & 6) === 6;
    this.sent = this.answered = this.lines = 0;
    if ((flags & 8) === 0) this.send(server, initMessage(), 200);
    for (let i = 0; i < MOST_REQUESTS && !input.done; i++) {
      const message = fuseMessage(input, ALL_KINDS, i + 2);
      this.send(server, message, input.chance(32) ? input.below(200) : 1024);
      const { nodes, files } = server.held;
      must(nodes <= MOST_NODES && files <= MOST_FILES, 'tables are bounded');
    }
    return this.tree.slow ? this.settle(server) : this.end(server);
  }

  private async settle(server: FuseServer): Promise<void> {
    for (let i = 0; i < 12; i++) await Promise.resolve();
    await this.end(server);
  }

  private end(server: FuseServer): void | Promise<void> {
    must(this.sent - this.answered === server.waiting, 'who is not answered waits');
    server.reset();
    if (this.tree.slow) return this.afterReset(server);
    this.empty(server);
  }

  private async afterReset(server: FuseServer): Promise<void> {
    for (let i = 0; i < 12; i++) await Promise.resolve();
    this.empty(server);
  }

  private empty(server: FuseServer): void {
    must(server.waiting === 0 && this.sent === this.answered, 'nobody waits after a reset');
    const { nodes, files } = server.held;
    must(files === 0 && nodes <= 1, 'nothing is held after a reset');
    must(this.tree.opened === 0, 'every file is closed');
    must(this.lines <= MOST_LINES, 'the log is bounded');
  }

  private send(server: FuseServer, bytes: Uint8Array, room: number): void {
    const message = new Message(bytes, room);
    let done = false;
    this.sent++;
    const request = new FuseRequest(message, message.sink, (_, written) => {
      must(!done, 'one answer');
      done = true;
      this.answered++;
      must(written <= room, 'an answer fits');
      if (written > 0) this.check(message, written);
    });
    server.handle(request);
  }

  private check({ answer }: Message, written: number): void {
    must(written >= OUT_HEADER_BYTES, 'an answer has a header');
    const view = new DataView(answer.buffer);
    must(view.getUint32(0, true) === written, 'an answer is as long as it says');
    const error = view.getInt32(4, true);
    must(error <= 0 && error > -4096, 'an error is an errno');
    must(error === 0 || written === OUT_HEADER_BYTES, 'an error has no body');
  }
}

export const target: FuzzTarget = {
  name: 'fuse',
  maxBytes: 256,
  seeds: [
    // LOOKUP a, OPEN node 2, READ; CREATE c, WRITE; OPENDIR, READDIRPLUS.
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 2, 0, 0, 0, 0, 2, 0, 0, 13, 1, 0, 0),
    Uint8Array.of(0, 31, 0, 0, 66, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 14, 5, 1, 2, 3, 4, 5, 1),
    Uint8Array.of(0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 38, 1, 0, 0, 22, 0, 0),
    Uint8Array.of(7, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 38, 1, 0, 0, 22, 0, 0),
    Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 2, 0, 0, 0, 0, 2, 0, 0, 43, 1, 0, 1, 0, 1),
  ],
  open: () => new FuseCase(),
};
