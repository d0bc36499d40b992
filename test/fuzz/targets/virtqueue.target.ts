/** The split ring: whatever is in memory, chains lie in RAM and only the used ring is written. */
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { DescriptorChain } from '../../../src/devices/virtio/queue/descriptor-chain.js';
import { GuestRam } from '../../../src/devices/virtio/queue/guest-ram.js';
import {
  QueueRegisters,
  QueueWord,
  queueRegisterBytes,
} from '../../../src/devices/virtio/queue/queue-registers.js';
import { SplitQueue } from '../../../src/devices/virtio/queue/split-queue.js';
import { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { HIGH_START, LOW_SIZE, FuzzRam } from './fuzz-ram.js';
import { FuzzRing, anyAddress, type Piece, type RingPlace } from './fuzz-ring.js';

const MAXIMUM = 64;
const SIZES = [1, 2, 4, 8, 16, 64] as const;
const MOST_STEPS = 32;
/** In one window, across windows, in the high region. */
const PLACES: readonly RingPlace[] = [
  { descriptors: 0x1000, driver: 0x2000, device: 0x3000 },
  { descriptors: 0x7f00, driver: 0xffe0, device: 0x17fe0 },
  { descriptors: HIGH_START + 0x100, driver: HIGH_START + 0x1000, device: HIGH_START + 0x3d00 },
  { descriptors: LOW_SIZE - 0x400, driver: 0, device: HIGH_START },
];
const TABLE = 0x4008;

class QueueCase {
  private readonly ram = new FuzzRam();
  private readonly shadow = new Uint8Array(this.ram.bytes.length);
  private readonly registers = new QueueRegisters(
    RegisterBlock.standalone(queueRegisterBytes(MAXIMUM)),
    MAXIMUM,
  );
  private readonly guestRam = new GuestRam(this.ram);
  private readonly queue = new SplitQueue(this.registers, this.guestRam, 0, 0);
  private readonly chain = new DescriptorChain(this.guestRam, MAXIMUM, 0);
  private readonly held: number[] = [];
  private readonly chunk = new Uint8Array(256);
  private readonly iovecs = new Uint32Array(4 * 16);
  private ring!: FuzzRing;
  private trusted = true;

  run(bytes: Uint8Array): void {
    const input = new Input(bytes);
    this.setUp(input);
    for (let step = 0; step < MOST_STEPS && !input.done; step++) this.step(input);
    this.turn(() => this.pushAll(), 64, false);
    this.registers.reset();
  }

  private setUp(input: Input): void {
    const { ram, registers } = this;
    ram.clear();
    this.held.length = 0;
    this.trusted = true;
    const place = PLACES[input.below(PLACES.length)]!;
    const size = SIZES[input.below(SIZES.length)]!;
    this.ring = new FuzzRing(ram, size, place, TABLE);
    registers.reset();
    registers.words[QueueWord.Draining] = 0;
    this.enable(input.u8());
  }

  /** The driver makes the queue ready. */
  private enable(flags: number): void {
    const { ram, ring, registers } = this;
    const { words } = registers;
    const { place, size } = ring;
    words[QueueWord.Size] = size;
    words[QueueWord.EventIndex] = flags & 1;
    words[QueueWord.Indirect] = (flags & 2) === 0 ? 1 : 0;
    words[QueueWord.Ready] = 1;
    [place.descriptors, place.driver, place.device].forEach((address, i) => {
      words[QueueWord.DescriptorLow + 2 * i] = address % 2 ** 32;
      words[QueueWord.DescriptorHigh + 2 * i] = Math.floor(address / 2 ** 32);
    });
    // Positions near where 16 bits end, or the beginning.
    const position = (flags & 4) !== 0 ? 0xfffe : 0;
    words[QueueWord.NextAvailable] = words[QueueWord.NextUsed] = position;
    ring.restart(size);
    ring.availableIndex = ring.usedIndex = position;
    ram.set16(place.driver + 2, position);
  }

  private step(input: Input): void {
    const { ring, ram, registers } = this;
    const action = input.u8();
    if (action < 90) {
      ring.send(pieces(input), (action & 1) !== 0);
    } else if (action < 140) {
      ring.damage(input);
    } else if (action < 210) {
      this.serve(input);
    } else if (action < 220) {
      ram.set32(input.u16() & ~3, input.word());
    } else if (action < 230) {
      this.turn(() => this.pushAll(), 64, false);
    } else if (action < 238) {
      this.queue.rest();
      this.queue.pending();
    } else if (action < 250) {
      // A register block of a snapshot can hold anything.
      this.trusted = false;
      registers.words[input.below(QueueWord.Count)] = input.word() | 0;
      this.held.length = 0;
    } else {
      // What is in flight comes back later, to nobody.
      registers.reset();
      this.enable(input.u8());
    }
  }

  private pushAll(): void {
    for (const token of this.held.splice(0)) this.queue.push(token, 1);
  }

  private serve(input: Input): void {
    const { queue, chain } = this;
    const budget = input.chance(128) ? input.below(4) : 128;
    const mode = input.u8();
    let count = 0;
    this.turn(
      () => {
        while (queue.pop(chain)) {
          count++;
          this.checkChain();
          if (mode < 100) queue.push(chain.token, this.useChain(mode));
          else if (mode < 160) this.held.push(chain.token);
          else if (mode < 190) {
            queue.unpop(chain);
            break;
          } else if (mode < 200) {
            queue.abandon();
            break;
          } else queue.push(chain.token, chain.writable.length);
        }
      },
      budget,
      (mode & 1) !== 0,
    );
    must(count <= budget, 'no more chains than the budget');
  }

  private turn(action: () => void, budget: number, polled: boolean): void {
    const { queue, ram, shadow, ring, registers } = this;
    shadow.set(ram.bytes);
    queue.begin(true, budget);
    try {
      action();
    } catch (error) {
      // A register block that nobody has checked can break the device's word, and no more.
      if (this.trusted) throw error;
      queue.abandon();
    }
    queue.end(polled);
    if (!this.trusted) return;
    must(registers.words[QueueWord.InFlight]! <= ring.size, 'no more in flight than entries');
    this.checkWrites();
  }

  /** Only the used ring has changed, and what was in writable pieces. */
  private checkWrites(): void {
    const { ram, shadow, ring } = this;
    const low = ring.place.device;
    const at = low < LOW_SIZE ? low : low - HIGH_START + LOW_SIZE;
    const end = at + 6 + 8 * ring.size;
    const same =
      Buffer.compare(ram.bytes.subarray(0, at), shadow.subarray(0, at)) === 0 &&
      Buffer.compare(ram.bytes.subarray(end), shadow.subarray(end)) === 0;
    must(same, 'nothing but the used ring is written');
  }

  private checkChain(): void {
    const { readable, writable } = this.chain;
    must(readable.count + writable.count <= MAXIMUM, 'no more pieces than a chain takes');
    for (const side of [readable, writable]) {
      let length = 0;
      for (let i = 0; i < side.count; i++) {
        must(side.size(i) > 0, 'no empty pieces');
        must(this.ram.contains(side.address(i), side.size(i)), 'pieces lie in RAM');
        length += side.size(i);
      }
      must(length === side.length, 'pieces add up');
    }
  }

  /** What devices do with chains, without writing to the guest. */
  private useChain(mode: number): number {
    const { readable, writable } = this.chain;
    const before = readable.length;
    const read = readable.read(this.chunk, 0, mode);
    must(read === Math.min(mode, before), 'as much as there is');
    const skipped = readable.skip(mode * 3);
    must(readable.length === before - read - skipped, 'what is left is what was not taken');
    writable.truncate(mode * 5);
    must(writable.length <= mode * 5, 'truncated');
    must(writable.iovecs(this.iovecs) <= 16, 'no more vectors than fit');
    return Math.min(writable.length, mode);
  }
}

function pieces(input: Input): Piece[] {
  const count = 1 + input.below(6);
  const readable = input.below(count + 1);
  return Array.from({ length: count }, (_, i) => {
    const strange = input.chance(20);
    return {
      address: strange ? anyAddress(input) : input.u16(),
      length: strange ? input.word() : input.u16() & 0x1fff,
      writable: i >= readable,
    };
  });
}

export const target: FuzzTarget = {
  name: 'virtqueue',
  maxBytes: 256,
  seeds: [
    // A chain of three, served; an indirect one, served.
    Uint8Array.of(0, 4, 0, 0, 2, 1, 0, 0, 1, 16, 0, 0, 0, 2, 16, 0, 0, 0, 3, 16, 0, 150, 0, 200),
    Uint8Array.of(1, 3, 1, 1, 1, 1, 0, 0, 1, 16, 0, 0, 0, 2, 16, 0, 150, 0, 10),
    Uint8Array.of(2, 5, 5, 1, 1, 1, 0, 0, 1, 16, 0, 0, 0, 2, 16, 0, 150, 0, 120, 225),
  ],
  open: () => new QueueCase(),
};
