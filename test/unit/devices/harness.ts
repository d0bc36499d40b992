/** Stand-ins for what devices are connected to, and helpers to drive them. */
import {
  MachineRequest,
  type Clock,
  type Doorbell,
  type InterruptLine,
  type MachineControl,
} from '../../../src/bus/device.js';
import { RegisterBlock } from '../../../src/bus/register-block.js';
import type { MonotonicClock } from '../../../src/devices/legacy/clock.js';

/** An interrupt line that counts. */
export class FakeLine implements InterruptLine {
  level = false;
  /** Times it went up: what an edge-triggered input sees. */
  edges = 0;
  calls = 0;
  set(level: boolean): void {
    this.calls++;
    if (level === this.level) throw new Error(`line set to ${level} again`);
    this.level = level;
    if (level) this.edges++;
  }
}

export class FakeDoorbell implements Doorbell {
  rings = 0;
  ring(): void {
    this.rings++;
  }
}

export class FakeControl implements MachineControl {
  readonly requests: { kind: MachineRequest; data: number | undefined }[] = [];
  request(kind: MachineRequest, data?: number): void {
    this.requests.push({ kind, data });
  }
  get kinds(): MachineRequest[] {
    return this.requests.map(({ kind }) => kind);
  }
}

/** A clock that stands still until it is moved. */
export class FakeClock implements Clock, MonotonicClock {
  constructor(public time = Date.UTC(2026, 1, 3, 4, 5, 6)) {}
  now(): number {
    return this.time;
  }
  nanoseconds(): number {
    return this.time * 1e6;
  }
}

/** A block with the same content as another, as a snapshot that is restored has. */
export function copyOf(block: RegisterBlock): RegisterBlock {
  const copy = RegisterBlock.standalone(block.bytes.length);
  copy.restore(block.save());
  return copy;
}

/** Pseudo-random 32-bit numbers, the same ones in every run (xorshift32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
