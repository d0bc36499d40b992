/** The host's end of the agent channel: the guest program's streams, signals and exit. */
import { EventEmitter } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { FrameParser, GuestFrame, HostFrame, encodeFrame } from './frames.js';

/** How the guest's program ended. */
export interface CommandExit {
  readonly kind: 'exited' | 'signalled' | 'not-started' | 'no-root';
  /** Exit status, signal number or errno; for `no-root` the errno of the root file system. */
  readonly value: number;
}

/** Events of an {@link AgentChannel}. */
export interface AgentEvents {
  /** The shell or the command has been started. */
  ready: [];
  exit: [CommandExit];
  /** The guest sent what is not a frame: the channel is dead. */
  broken: [];
}

const EXIT_KINDS = ['exited', 'signalled', 'not-started', 'no-root'] as const;
/** Bytes of standard input that fit into one frame and into the first window. */
const STDIN_CHUNK = 1024;
/** What the guest may be granted at most: more would let it make the host buffer without bound. */
const CREDIT_LIMIT = 1 << 20;
const FIRST_CREDIT = 2048;

/** A readable that the channel feeds; `accepting` is false while its reader is behind. */
class GuestOutput extends Readable {
  accepting = true;
  constructor(private readonly onWanted: () => void) {
    super({ highWaterMark: 64 * 1024 });
  }
  deliver(bytes: Buffer): void {
    this.accepting = this.push(bytes);
  }
  end(): void {
    this.push(null);
  }
  override _read(): void {
    if (this.accepting) return;
    this.accepting = true;
    this.onWanted();
  }
}

/**
 * Speaks frames over a byte port. The machine calls {@link receive} with what the guest wrote,
 * and {@link pump} when the guest can take more.
 */
export class AgentChannel extends EventEmitter<AgentEvents> {
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly stdin: Writable;
  private readonly out: GuestOutput;
  private readonly err: GuestOutput;
  private readonly parser = new FrameParser((type, payload) => this.onFrame(type, payload));
  private outgoing: Buffer[] = [];
  private credit = 0;
  private waiting: { bytes: Buffer; done: () => void } | undefined;
  private exited = false;
  private greeted = false;

  /**
   * @param send hands bytes to the guest; returns how many it took
   * @param onWanted called when output that was held back may be received again
   */
  constructor(
    private readonly send: (bytes: Buffer) => number,
    onWanted: () => void,
  ) {
    super();
    this.stdout = this.out = new GuestOutput(onWanted);
    this.stderr = this.err = new GuestOutput(onWanted);
    this.stdin = new Writable({
      highWaterMark: 16 * 1024,
      write: (chunk: Buffer, _encoding, callback) => {
        this.waiting = { bytes: chunk, done: callback };
        this.sendStdin();
      },
      final: (callback) => {
        this.post(encodeFrame(HostFrame.Stdin));
        callback();
      },
    });
  }

  /** False while a reader of the program's output is behind: leave the bytes in the device. */
  get accepting(): boolean {
    return this.out.accepting && this.err.accepting;
  }

  /** Bytes from the guest. */
  receive(bytes: Uint8Array): void {
    this.parser.push(bytes);
    if (this.parser.broken) {
      this.close();
      this.emit('broken');
    }
  }

  /** Sends what waits, as far as the port takes it. */
  pump(): void {
    // Until the agent has greeted, its terminal line would echo what arrives.
    while (this.greeted && this.outgoing.length > 0) {
      const first = this.outgoing[0]!;
      const sent = this.send(first);
      if (sent === first.length) this.outgoing.shift();
      else {
        this.outgoing[0] = first.subarray(sent);
        return;
      }
    }
  }

  /** Tells the guest its terminal's new size. */
  resize(rows: number, cols: number): void {
    const size = Buffer.alloc(4);
    size.writeUInt16LE(rows, 0);
    size.writeUInt16LE(cols, 2);
    this.post(encodeFrame(HostFrame.Resize, size));
  }

  /** Sends a signal to the program's process group. */
  signal(number: number): void {
    this.post(encodeFrame(HostFrame.Signal, Buffer.from([number])));
  }

  /** Asks the agent to sync and power off. */
  shutdown(): void {
    this.post(encodeFrame(HostFrame.Shutdown));
  }

  /** The guest is gone: ends the streams. */
  close(): void {
    this.endStreams();
    this.outgoing = [];
  }

  private endStreams(): void {
    this.exited = true;
    this.out.end();
    this.err.end();
    this.waiting?.done();
    this.waiting = undefined;
  }

  private post(frame: Buffer): void {
    if (this.exited) return;
    this.outgoing.push(frame);
    this.pump();
  }

  private sendStdin(): void {
    while (this.waiting !== undefined) {
      const { bytes, done } = this.waiting;
      if (this.exited || bytes.length === 0) {
        this.waiting = undefined;
        done();
        return;
      }
      const count = Math.min(bytes.length, this.credit, STDIN_CHUNK);
      if (count === 0) return;
      this.credit -= count;
      this.waiting = { bytes: bytes.subarray(count), done };
      this.post(encodeFrame(HostFrame.Stdin, bytes.subarray(0, count)));
    }
  }

  private onFrame(type: number, payload: Buffer): void {
    if (this.exited) return;
    switch (type) {
      case GuestFrame.Stdout:
        this.out.deliver(payload);
        break;
      case GuestFrame.Stderr:
        this.err.deliver(payload);
        break;
      case GuestFrame.Hello:
        this.greeted = true;
        this.pump();
        break;
      case GuestFrame.Ready:
        this.grant(FIRST_CREDIT);
        this.emit('ready');
        break;
      case GuestFrame.Credit:
        if (payload.length >= 4) this.grant(payload.readUInt32LE(0));
        break;
      case GuestFrame.Exit:
        this.onExit(payload);
        break;
      default:
        // Frames of later agents: nothing to do.
        break;
    }
  }

  private grant(bytes: number): void {
    this.credit = Math.min(this.credit + bytes, CREDIT_LIMIT);
    this.sendStdin();
  }

  private onExit(payload: Buffer): void {
    const kind = EXIT_KINDS[payload[0] ?? 0] ?? 'exited';
    // The guest may power off when it hears that nothing it has sent is on its way any more.
    this.post(encodeFrame(HostFrame.ExitSeen));
    this.endStreams();
    this.emit('exit', { kind, value: payload[1] ?? 0 });
  }
}
