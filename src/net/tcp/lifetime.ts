/**
 * How long a connection may live without a word from the guest: until the handshake is complete, while
 * it is idle (keep-alive, RFC 9293, 3.8.4), and after its end (TIME-WAIT).
 */
import { Timer, type TimerQueue } from '../timers.js';

/** 2 MSL. Nothing lingers on the link but in bounded queues that are emptied in order. */
const TIME_WAIT_MS = 5000;
const SYN_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_IDLE_MS = 300_000;
const KEEP_ALIVE_INTERVAL_MS = 15_000;
const KEEP_ALIVE_PROBES = 8;

/** What a connection lives through. */
export enum LifeStage {
  Handshake,
  Established,
  TimeWait,
}

const STAGE_MS = [SYN_TIMEOUT_MS, KEEP_ALIVE_IDLE_MS, TIME_WAIT_MS];

/** The connection, as far as it concerns its life. */
export interface Mortal {
  /** The guest has no room for a segment. */
  readonly blocked: boolean;
  /** Asks the guest whether it is there. */
  probe(): void;
  /** The guest has not been heard for too long. */
  onSilence(): void;
  /** The connection has rested long enough. */
  onRested(): void;
}

/** The life of one connection. */
export class Lifetime {
  private stage = LifeStage.Handshake;
  private heard = 0;
  private probes = 0;
  private readonly timer = new Timer(() => this.onTimer());

  constructor(
    private readonly timers: TimerQueue,
    private readonly mortal: Mortal,
  ) {}

  /** A stage begins, or begins again. */
  begin(stage: LifeStage): void {
    this.stage = stage;
    this.heard = this.timers.now();
    this.timers.set(this.timer, STAGE_MS[stage]!);
  }

  /** The guest has sent something. */
  hear(): void {
    this.heard = this.timers.now();
    this.probes = 0;
  }

  end(): void {
    this.timers.remove(this.timer);
  }

  private onTimer(): void {
    const { mortal, timers, timer } = this;
    if (this.stage === LifeStage.TimeWait) {
      mortal.onRested();
      return;
    }
    if (this.stage === LifeStage.Handshake) {
      mortal.onSilence();
      return;
    }
    const idle = timers.now() - this.heard;
    if (this.probes === 0 && idle < KEEP_ALIVE_IDLE_MS) {
      timers.set(timer, KEEP_ALIVE_IDLE_MS - idle);
    } else if (mortal.blocked) {
      // A guest without buffers cannot be asked.
      timers.set(timer, KEEP_ALIVE_INTERVAL_MS);
    } else if (this.probes >= KEEP_ALIVE_PROBES) {
      mortal.onSilence();
    } else {
      this.probes++;
      mortal.probe();
      timers.set(timer, KEEP_ALIVE_INTERVAL_MS);
    }
  }
}
