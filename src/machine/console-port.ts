/** The host side of a port, serial or of virtio-console: streams over the device's rings. */
import { Writable, type Readable } from 'node:stream';
import { OutputStream, type OutputSource } from './output-stream.js';

/** The device's rings, as the host sees them. */
export interface PortHost extends OutputSource {
  /** Queues input for the guest and returns how many of the bytes fitted. */
  receive(bytes: Uint8Array): number;
}

/** Takes a port's bytes instead of the output stream: the agent channel. */
export interface PortConsumer {
  readonly accepting: boolean;
  receive(bytes: Uint8Array): void;
  pump(): void;
}

/**
 * Streams that outlive a power-on: while the machine restarts, input waits.
 */
export class ConsolePort {
  readonly output: Readable;
  readonly input: Writable;
  private readonly stream: OutputStream;
  private consumer: PortConsumer | undefined;
  private waiting: { bytes: Buffer; done: () => void } | undefined;
  private ended = false;

  /** @param device the port of the machine that is on, if one is */
  constructor(private readonly device: () => PortHost | undefined) {
    this.stream = new OutputStream(() => this.drain());
    this.output = this.stream;
    this.input = new Writable({
      highWaterMark: 4096,
      write: (chunk: Buffer, _encoding, callback) => {
        this.waiting = { bytes: chunk, done: callback };
        this.feed();
      },
    });
  }

  /** Gives everything the guest writes to a consumer instead of {@link output}. */
  divert(consumer: PortConsumer): void {
    this.consumer = consumer;
  }

  /** Moves what the device holds to the reader, unless the reader is behind. */
  drain(): void {
    const device = this.device();
    if (device === undefined) return;
    const { consumer } = this;
    if (consumer === undefined) {
      this.stream.drainFrom(device);
      return;
    }
    while (consumer.accepting) {
      const bytes = device.take();
      if (bytes.length === 0) return;
      consumer.receive(bytes);
    }
  }

  /** The guest has been paused: what it has written comes now. */
  hasten(): void {
    this.stream.hasten();
  }

  /** The vCPUs have stopped: takes what is left, which is bounded by the device's ring. */
  flush(): void {
    const device = this.device();
    if (device === undefined) return;
    if (this.consumer === undefined) {
      this.stream.flushFrom(device);
      return;
    }
    for (let bytes = device.take(); bytes.length > 0; bytes = device.take()) {
      this.consumer.receive(bytes);
    }
  }

  /** Hands bytes to the device; returns how many it took. */
  offer(bytes: Uint8Array): number {
    return this.device()?.receive(bytes) ?? 0;
  }

  /** The device's receive queue has room again. */
  onSpace(): void {
    this.consumer?.pump();
    this.feed();
  }

  private feed(): void {
    if (this.waiting === undefined) return;
    const { bytes, done } = this.waiting;
    const taken = this.ended ? bytes.length : this.offer(bytes);
    if (taken < bytes.length) {
      this.waiting = { bytes: bytes.subarray(taken), done };
      return;
    }
    this.waiting = undefined;
    done();
  }

  /** The VM has ended: output ends, input goes nowhere. */
  end(): void {
    this.ended = true;
    this.stream.end();
    this.feed();
  }
}
