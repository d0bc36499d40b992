/**
 * The state of a console device in shared memory: what its two sides have in common.
 *
 * ```
 *   device words | ring for emergency writes | port 0: words, output ring, input ring | port 1 ...
 * ```
 *
 * A word is written by one side only, or atomically by both. Things that go on and off are counted:
 * an odd count is "on", so that whoever looks later sees that it has been off in between.
 */
import { SharedRing } from '../shared-ring.js';

/** Words of the device. */
enum DeviceWord {
  EmergencyHead = 0,
  /** The driver has said DEVICE_READY. */
  Ready = 16,
  EmergencyTail,
  EmergencyLost,
  EmergencyRung,
  Count = 32,
}

/**
 * Words of a port. Those of the host, of the control queues and of the port's own queues are 64
 * bytes apart, so that threads do not take each other's cache lines.
 */
export enum PortWord {
  /** Odd: the host has taken the port away. */
  Unplugged = 0,
  /** Odd: the host has the port open. */
  HostConnection,
  /** Columns, and rows in the upper half: the layout of the configuration space. */
  Size,
  OutputHead,
  InputTail,
  /** The host waits for room for input; cleared by the device. */
  InputBlocked,

  /** Bits of {@link PortRequest}. */
  Requests = 16,
  /** The driver has been told of the port; it was {@link Unplugged} = AddedAt then. */
  Added,
  AddedAt,
  /** The driver has said PORT_READY. */
  Ready,
  /** The value of {@link HostConnection} that the driver has been told. */
  Announced,
  /** Odd: the guest has the port open. */
  GuestConnection,

  OutputTail = 32,
  /** Bytes taken of the chain that is next in the transmit queue. */
  OutputSent,
  /** The host has been told of output and has not looked yet. */
  OutputRung,
  /** The device waits for room for output; cleared by the host. */
  OutputBlocked,
  OutputLost,
  InputHead,

  Count = 48,
}

/** Control messages that a port is owed, beside those that follow from its counts. */
export enum PortRequest {
  Console = 1,
  Name = 2,
  Resize = 4,
}

const EMERGENCY_BYTES = 1024;
const DEVICE_BYTES = DeviceWord.Count * 4 + EMERGENCY_BYTES;
const WORD_BYTES = PortWord.Count * 4;

/** Bytes of state for so many ports with rings of `ringBytes`. */
export function consoleStateBytes(ports: number, ringBytes: number): number {
  return DEVICE_BYTES + ports * (WORD_BYTES + 2 * ringBytes);
}

/** Words of the device and the emergency output, as one thread sees them. */
export class ConsoleState {
  private readonly words: Int32Array<SharedArrayBuffer>;
  /** Single characters written to `emerg_wr`; the producer holds the device's lock. */
  readonly emergency: SharedRing;

  constructor(state: Uint8Array<SharedArrayBuffer>) {
    this.words = new Int32Array(state.buffer, state.byteOffset, DeviceWord.Count);
    const data = state.subarray(DeviceWord.Count * 4, DEVICE_BYTES);
    const { EmergencyHead, EmergencyTail } = DeviceWord;
    this.emergency = new SharedRing(this.words, EmergencyHead, EmergencyTail, data);
  }

  /** The driver takes control messages. */
  get ready(): boolean {
    return Atomics.load(this.words, DeviceWord.Ready) === 1;
  }

  set ready(value: boolean) {
    Atomics.store(this.words, DeviceWord.Ready, value ? 1 : 0);
  }

  /** Bytes of emergency output that found the ring full; wraps at 2^32. */
  get emergencyLost(): number {
    return Atomics.load(this.words, DeviceWord.EmergencyLost) >>> 0;
  }

  countEmergencyLost(): void {
    Atomics.add(this.words, DeviceWord.EmergencyLost, 1);
  }
}

/** Words and rings of one port, as one thread sees them. */
export class PortState {
  /** Guest to host: the producer is the transmit queue's turn, the consumer the host. */
  readonly output: SharedRing;
  /** Host to guest: the producer is the host, the consumer the receive queue's turn. */
  readonly input: SharedRing;
  private readonly words: Int32Array<SharedArrayBuffer>;

  constructor(state: Uint8Array<SharedArrayBuffer>, port: number, ringBytes: number) {
    const start = consoleStateBytes(port, ringBytes);
    this.words = new Int32Array(state.buffer, state.byteOffset + start, PortWord.Count);
    const data = start + WORD_BYTES;
    const { words } = this;
    const ring = (head: PortWord, tail: PortWord, at: number): SharedRing =>
      new SharedRing(words, head, tail, state.subarray(at, at + ringBytes));
    this.output = ring(PortWord.OutputHead, PortWord.OutputTail, data);
    this.input = ring(PortWord.InputHead, PortWord.InputTail, data + ringBytes);
  }

  load(word: PortWord): number {
    return Atomics.load(this.words, word);
  }

  store(word: PortWord, value: number): void {
    Atomics.store(this.words, word, value);
  }

  /** Adds to a word, which wraps at 2^32. */
  add(word: PortWord, count: number): void {
    Atomics.add(this.words, word, count % 2 ** 32);
  }

  /** Sets a word and returns what was in it. */
  exchange(word: PortWord, value: number): number {
    return Atomics.exchange(this.words, word, value);
  }

  isOdd(word: PortWord): boolean {
    return (this.load(word) & 1) === 1;
  }

  /** Counts on if need be, so that the word is odd or even; true when it was not. */
  setOdd(word: PortWord, odd: boolean): boolean {
    const { words } = this;
    for (;;) {
      const value = Atomics.load(words, word);
      if (((value & 1) === 1) === odd) return false;
      if (Atomics.compareExchange(words, word, value, value + 1) === value) return true;
    }
  }

  request(bits: number): void {
    Atomics.or(this.words, PortWord.Requests, bits);
  }

  /** Takes a request back; true when it was there. */
  takeRequest(bit: PortRequest): boolean {
    return (Atomics.and(this.words, PortWord.Requests, ~bit) & bit) !== 0;
  }

  /** Forgets what the driver knows and has said of the port. */
  forget(): void {
    this.store(PortWord.Added, 0);
    this.store(PortWord.Ready, 0);
    this.store(PortWord.Requests, 0);
    this.store(PortWord.Announced, 0);
  }
}
