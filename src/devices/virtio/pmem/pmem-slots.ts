/**
 * Flush requests that have been taken from the queue and not answered, in the state of the device:
 * where each one's answer goes. So a restored device knows what it owes.
 */
import type { RamCursor } from '../queue/guest-ram.js';
import type { WritableSegments } from '../queue/segments.js';
import { writeLittleEndian } from '../device.js';
import {
  DeviceWord,
  RESPONSE_BYTES,
  SLOTS,
  SLOT_WORDS,
  SlotPhase,
  SlotWord,
} from './pmem-layout.js';

/** The requests of one device. The queue is locked around calls. */
export class RequestSlots {
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly response = new Uint8Array(RESPONSE_BYTES);

  constructor(state: Uint8Array<SharedArrayBuffer>) {
    const count = DeviceWord.Count + SLOTS * SLOT_WORDS;
    this.words = new Int32Array(state.buffer, state.byteOffset, count);
  }

  private at(slot: number, word: number): number {
    return DeviceWord.Count + slot * SLOT_WORDS + word;
  }

  phase(slot: number): SlotPhase {
    return this.words[this.at(slot, SlotWord.Phase)]!;
  }

  token(slot: number): number {
    return this.words[this.at(slot, SlotWord.Token)]!;
  }

  /** A free slot, or -1. */
  findFree(): number {
    for (let i = 0; i < SLOTS; i++) if (this.phase(i) === SlotPhase.Free) return i;
    return -1;
  }

  /** True when a request waits for a flush that has not begun. */
  get waiting(): boolean {
    for (let i = 0; i < SLOTS; i++) if (this.phase(i) === SlotPhase.Waiting) return true;
    return false;
  }

  /** Puts requests that wait for a flush into the one that begins, or back. */
  move(from: SlotPhase, to: SlotPhase): void {
    for (let i = 0; i < SLOTS; i++) {
      if (this.phase(i) === from) this.words[this.at(i, SlotWord.Phase)] = to;
    }
  }

  /** Keeps a request that has to wait, with the first bytes of its room for the answer. */
  keep(slot: number, token: number, room: WritableSegments): void {
    const { words } = this;
    words[this.at(slot, SlotWord.Phase)] = SlotPhase.Waiting;
    words[this.at(slot, SlotWord.Generation)] = words[DeviceWord.Generation]!;
    words[this.at(slot, SlotWord.Token)] = token;
    let left = RESPONSE_BYTES;
    let pieces = 0;
    for (; pieces < room.count && left > 0; pieces++) {
      const word = this.at(slot, SlotWord.FirstPiece + 3 * pieces);
      const address = room.address(pieces);
      const length = Math.min(room.size(pieces), left);
      words[word] = address % 2 ** 32;
      words[word + 1] = Math.floor(address / 2 ** 32);
      words[word + 2] = length;
      left -= length;
    }
    words[this.at(slot, SlotWord.Pieces)] = pieces;
  }

  /**
   * Frees a slot and writes its answer, unless the device has been reset since the request came.
   * Returns how many bytes were written.
   */
  answer(slot: number, value: number, ram: RamCursor): number {
    const { words, response } = this;
    words[this.at(slot, SlotWord.Phase)] = SlotPhase.Free;
    const generation = Atomics.load(words, DeviceWord.Generation);
    if (words[this.at(slot, SlotWord.Generation)] !== generation) return 0;
    writeLittleEndian(response, 0, RESPONSE_BYTES, value);
    let done = 0;
    const pieces = Math.min(words[this.at(slot, SlotWord.Pieces)]! >>> 0, RESPONSE_BYTES);
    for (let i = 0; i < pieces; i++) {
      const word = this.at(slot, SlotWord.FirstPiece + 3 * i);
      const address = (words[word + 1]! >>> 0) * 2 ** 32 + (words[word]! >>> 0);
      const length = Math.min(words[word + 2]! >>> 0, RESPONSE_BYTES - done);
      // Checked when it came; a restored block can hold anything.
      if (!ram.ram.contains(address, length)) break;
      ram.copyIn(address, response, done, length);
      done += length;
    }
    return done;
  }

  /** Requests that are kept now are not answered, only given back. */
  reset(): void {
    Atomics.add(this.words, DeviceWord.Generation, 1);
  }

  get failed(): boolean {
    return Atomics.load(this.words, DeviceWord.Failed) !== 0;
  }

  setFailed(): void {
    Atomics.store(this.words, DeviceWord.Failed, 1);
  }
}
