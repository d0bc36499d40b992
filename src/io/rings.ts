/** Submission and completion ring as typed arrays: io_uring(7). */
import { constant, native, type RingHandle } from '../kvm/native.js';
import { VexitError } from '../util/errors.js';
import type { IoSegments } from './io-engine.js';
import type { OpenRing } from './open-ring.js';

// The ABI in 32-bit words; native/ring.c asserts it. Words of an SQE without a name stay 0.
const SQE_WORDS = 16;
const SQE_FD = 1;
const SQE_OFF = 2;
const SQE_ADDR = 4;
const SQE_LEN = 6;
const SQE_RW_FLAGS = 7;
const SQE_USER_DATA = 8;
const CQE_WORDS = 4;
const CQE_RES = 2;
const IOVEC_WORDS = 4;
const IOVEC_LEN = 2;

const TWO_32 = 2 ** 32;
const EINTR = -4;
const EAGAIN = -11;
const EBUSY = -16;

/** The kernel (6.12) completes 20 requests a call that did not complete at once. */
const TASK_WORK_CALLS = 4;

/** The upper half of user_data says whose request it is. */
const USER = 0;
const ENGINE = 1;

/** Who is told of completions of the user's requests. */
export interface CompletionSink {
  completed(token: number, result: number): void;
}

/**
 * The two rings, without a notion of what is in flight: the caller has at most as many requests
 * out as the submission ring has entries, so that neither ring is ever full.
 */
export class Rings {
  private readonly handle: RingHandle;
  private readonly enter = native().ringEnter;
  private readonly sq: Int32Array;
  private readonly cq: Int32Array;
  private readonly sqes: Int32Array;
  private readonly iovecs: Int32Array;
  private readonly iovecsAddress: number;

  private readonly sqTailWord: number;
  private readonly sqFlagsWord: number;
  private readonly cqHeadWord: number;
  private readonly cqTailWord: number;
  private readonly cqFlagsWord: number;
  private readonly cqesWord: number;
  private readonly sqMask: number;
  private readonly cqMask: number;

  private readonly fixedFile = constant('IOSQE_FIXED_FILE') << 8;
  private readonly getEvents = constant('IORING_ENTER_GETEVENTS');
  private readonly taskrun = constant('IORING_SQ_TASKRUN');
  private readonly eventfdDisabled = constant('IORING_CQ_EVENTFD_DISABLED');
  /** With DEFER_TASKRUN the kernel completes nothing but on demand. */
  private readonly enterFlags: number;
  /** Whether the eventfd can be masked without losing a signal. */
  private readonly maskable: boolean;

  private sqTail: number;
  private cqHead: number;
  private taking = false;
  /** SQEs written and not yet consumed by the other side. */
  private queued = 0;
  /** Words of `iovecs` that those SQEs refer to. */
  private iovecsUsed = 0;

  constructor({ kind, memory }: OpenRing) {
    const { layout } = memory;
    this.handle = memory.handle;
    this.sq = new Int32Array(memory.sq);
    this.cq = memory.cq === memory.sq ? this.sq : new Int32Array(memory.cq);
    this.sqes = new Int32Array(memory.sqes);
    this.iovecs = new Int32Array(memory.arena);
    this.iovecsAddress = memory.arenaAddress;
    this.sqTailWord = layout.sqTail / 4;
    this.sqFlagsWord = layout.sqFlags / 4;
    this.cqHeadWord = layout.cqHead / 4;
    this.cqTailWord = layout.cqTail / 4;
    this.cqFlagsWord = layout.cqFlags / 4;
    this.cqesWord = layout.cqCqes / 4;
    this.sqMask = layout.sqEntries - 1;
    this.cqMask = layout.cqEntries - 1;
    this.sqTail = Atomics.load(this.sq, this.sqTailWord);
    this.cqHead = Atomics.load(this.cq, this.cqHeadWord);
    const deferred = (layout.flags & constant('IORING_SETUP_DEFER_TASKRUN')) !== 0;
    this.enterFlags = deferred ? this.getEvents : 0;
    // Not where other threads of the kernel complete requests: not every version has a barrier
    // between its store of the tail and its look at IORING_CQ_EVENTFD_DISABLED.
    this.maskable = deferred || kind === 'threads';
    // SQEs are used in order, so the array that names them never changes.
    const array = layout.sqArray / 4;
    for (let i = 0; i < layout.sqEntries; i++) this.sq[array + i] = i;
  }

  /** Writes an SQE; `offset`, `address` and `length` where the opcode has them. */
  put(
    opcode: number,
    slot: number,
    offset: number,
    address: number,
    length: number,
    flags: number,
    token: number,
  ): void {
    this.write(opcode | this.fixedFile, slot, offset, address, length, flags, token, USER);
  }

  /** Writes a request whose completion is nobody's, on no file. */
  putOwn(opcode: number, flags: number): void {
    this.write(opcode, -1, 0, 0, 0, flags, 0, ENGINE);
  }

  private write(
    opcodeAndFlags: number,
    fd: number,
    offset: number,
    address: number,
    length: number,
    flags: number,
    token: number,
    owner: number,
  ): void {
    const { sqes } = this;
    const at = (this.sqTail & this.sqMask) * SQE_WORDS;
    sqes[at] = opcodeAndFlags;
    sqes[at + SQE_FD] = fd;
    sqes[at + SQE_OFF] = offset | 0;
    sqes[at + SQE_OFF + 1] = (offset / TWO_32) | 0;
    sqes[at + SQE_ADDR] = address | 0;
    sqes[at + SQE_ADDR + 1] = (address / TWO_32) | 0;
    sqes[at + SQE_LEN] = length;
    sqes[at + SQE_RW_FLAGS] = flags;
    sqes[at + SQE_USER_DATA] = token;
    sqes[at + SQE_USER_DATA + 1] = owner;
    this.sqTail = (this.sqTail + 1) | 0;
    this.queued++;
  }

  /**
   * Copies the segments as iovecs and returns their address, or 0 when there is no room. They are
   * needed until the SQE has been consumed (IORING_FEAT_SUBMIT_STABLE); if the room ends before,
   * what is queued is submitted.
   */
  copySegments(segments: IoSegments): number {
    const { iovecs } = this;
    const { count, addresses, lengths } = segments;
    const words = count * IOVEC_WORDS;
    if (this.iovecsUsed + words > iovecs.length && !this.submit()) return 0;
    const start = this.iovecsUsed;
    let at = start;
    for (let i = 0; i < count; i++) {
      const address = addresses[i]!;
      iovecs[at] = address | 0;
      iovecs[at + 1] = (address / TWO_32) | 0;
      iovecs[at + IOVEC_LEN] = lengths[i]!;
      iovecs[at + IOVEC_LEN + 1] = 0;
      at += IOVEC_WORDS;
    }
    this.iovecsUsed = at;
    return this.iovecsAddress + start * 4;
  }

  /**
   * Hands what is queued to the other side.
   * @returns false when it did not take all, for want of memory; try again later
   * @throws VexitError ERR_IO when the ring does not work, which is a defect
   */
  submit(): boolean {
    if (this.queued > 0) {
      Atomics.store(this.sq, this.sqTailWord, this.sqTail);
      while (this.queued > 0) {
        const taken = this.enter(this.handle, this.queued, this.enterFlags);
        if (taken > 0) {
          // Less than all when an SQE was refused; its completion says why.
          this.queued -= taken;
        } else if (taken === EAGAIN || taken === EBUSY || taken === 0) {
          return false;
        } else if (taken !== EINTR) {
          throw new VexitError('ERR_IO', `io_uring_enter failed with errno ${-taken}`);
        }
      }
    }
    this.iovecsUsed = 0;
    return true;
  }

  /** Takes back what is queued, and completes it with `result`. */
  withdraw(sink: CompletionSink, result: number): void {
    const { sqes, queued } = this;
    const first = (this.sqTail - queued) | 0;
    this.queued = 0;
    this.iovecsUsed = 0;
    this.sqTail = first;
    // Part of it may have been published by a submission that was not taken.
    Atomics.store(this.sq, this.sqTailWord, first);
    for (let i = 0; i < queued; i++) {
      const at = ((first + i) & this.sqMask) * SQE_WORDS;
      sink.completed(sqes[at + SQE_USER_DATA]!, result);
    }
  }

  /** True when `take` would find something. */
  pending(): boolean {
    return Atomics.load(this.cq, this.cqTailWord) !== this.cqHead || this.hasTaskWork();
  }

  /** True when requests are done whose completions the kernel has yet to write. */
  private hasTaskWork(): boolean {
    return (Atomics.load(this.sq, this.sqFlagsWord) & this.taskrun) !== 0;
  }

  /** No signals of the eventfd for completions that are about to be taken. */
  maskEventfd(): void {
    if (this.maskable) Atomics.store(this.cq, this.cqFlagsWord, this.eventfdDisabled);
  }

  /** Signals again; what came meanwhile is `pending`. */
  unmaskEventfd(): void {
    if (this.maskable) Atomics.store(this.cq, this.cqFlagsWord, 0);
  }

  /** True while completions are being delivered. */
  get isTaking(): boolean {
    return this.taking;
  }

  /** Delivers the completions that are there now; not those that come while it does. */
  take(sink: CompletionSink): number {
    if (this.taking) return 0;
    for (let calls = 0; calls < TASK_WORK_CALLS && this.hasTaskWork(); calls++) {
      this.enter(this.handle, 0, this.getEvents);
    }
    const { cq, cqesWord, cqMask } = this;
    const tail = Atomics.load(cq, this.cqTailWord);
    let head = this.cqHead;
    let taken = 0;
    if (head === tail) return taken;
    this.taking = true;
    try {
      while (head !== tail) {
        const at = cqesWord + (head & cqMask) * CQE_WORDS;
        head = (head + 1) | 0;
        if (cq[at + 1] === USER) {
          taken++;
          sink.completed(cq[at]!, cq[at + CQE_RES]!);
        }
      }
    } finally {
      // Also when a completion throws: each is delivered once.
      this.cqHead = head;
      Atomics.store(cq, this.cqHeadWord, head);
      this.taking = false;
    }
    return taken;
  }
}
