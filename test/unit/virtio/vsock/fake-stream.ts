/** A program of the host that takes what it gets when it is told to. */
import type {
  HostStream,
  StreamListener,
} from '../../../../src/devices/virtio/vsock/host-backend.js';

export class FakeStream implements HostStream {
  listener: StreamListener | undefined;
  acceptedAs: number | undefined;
  readonly written: Buffer[] = [];
  /** Writes that have not been reported. */
  waiting = 0;
  /** Their bytes. */
  held = 0;
  paused = true;
  ended = false;
  finished = false;
  destroyed = false;

  accepted(hostPort: number): void {
    this.acceptedAs = hostPort;
  }
  write(bytes: Uint8Array): void {
    this.written.push(Buffer.from(bytes));
    this.waiting++;
    this.held += bytes.length;
  }
  cork(): void {
    // Nothing to gather.
  }
  uncork(): void {
    // Nothing was gathered.
  }
  end(): void {
    this.ended = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  destroy(): void {
    this.destroyed = true;
  }

  get text(): string {
    return Buffer.concat(this.written).toString();
  }

  get bytes(): number {
    return this.written.reduce((sum, { length }) => sum + length, 0);
  }

  /** The program takes what was written, and the end. */
  take(): void {
    while (this.waiting > 0) {
      this.waiting--;
      this.held -= this.written.at(-1 - this.waiting)!.length;
      this.listener?.onWritten();
    }
    if (!this.ended || this.finished) return;
    this.finished = true;
    this.listener?.onFinish();
  }
}
