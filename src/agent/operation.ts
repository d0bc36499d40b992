/** One operation of the agent: a connection of its own, with a greeting, a request and frames. */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { VexitError } from '../util/errors.js';
import { FrameParser, GuestFrame, HostFrame, VSOCK_PAYLOAD_MAX, encodeFrame } from './frames.js';
import { brokenConnection, guestError } from './guest-error.js';
import { encodeRecords, type AgentRecord } from './records.js';

/** Version of the protocol. */
export const AGENT_VERSION = 1;
/** The vsock port of the guest that the agent serves; below 1024, which only root may take. */
export const AGENT_PORT = 1007;
/** Longest request. */
const REQUEST_MAX = 1 << 20;
/** How long an agent may take to greet; guests that are interpreted are slow. */
const GREETING_MS = 180_000;
/** How long it may take to take the last frames. */
const LEAVING_MS = 10_000;

/** Opens a connection to the agent's port. */
export type AgentConnector = (signal: AbortSignal | undefined) => Promise<Duplex>;

/** What an operation hears. Nothing after `onEnd`. */
export interface OperationListener {
  onFrame(type: GuestFrame, payload: Buffer): void;
  /** The connection is over; undefined after {@link Operation.finish}. */
  onEnd(error: VexitError | undefined): void;
}

/** The error of an operation that its caller has given up. */
export function abortedError(signal: AbortSignal): VexitError {
  return new VexitError('ERR_ABORTED', 'the operation in the guest was aborted', undefined, {
    cause: signal.reason,
  });
}

/** A running operation. What the guest sends is checked; nothing is thrown out of an event. */
export class Operation {
  private readonly parser = new FrameParser(
    (type, payload) => this.onFrame(type, payload),
    VSOCK_PAYLOAD_MAX,
  );
  private greeted = false;
  private over = false;
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly stream: Duplex,
    private readonly listener: OperationListener,
  ) {
    this.timer = setTimeout(
      () => this.end(brokenConnection('does not answer')),
      GREETING_MS,
    ).unref();
    stream.on('data', (bytes: Buffer) => this.onData(bytes));
    stream.on('error', (error) => this.end(brokenConnection(`is lost: ${error.message}`)));
    const onClose = (): void => this.end(brokenConnection('ended the connection'));
    stream.on('end', onClose).on('close', onClose);
  }

  /**
   * Connects and sends a request.
   * @throws VexitError ERR_CONFIG for a request that cannot be sent, or whatever the connector throws
   */
  static async start(
    connect: AgentConnector,
    records: readonly AgentRecord[],
    listener: OperationListener,
    signal?: AbortSignal,
  ): Promise<Operation> {
    const request = encodeRecords(records);
    if (request.length > REQUEST_MAX) {
      throw new VexitError(
        'ERR_CONFIG',
        `arguments and environment of ${request.length} bytes are too long`,
        `give at most ${REQUEST_MAX}`,
      );
    }
    if (signal?.aborted === true) throw abortedError(signal);
    const operation = new Operation(await connect(signal), listener);
    operation.send(HostFrame.Hello, Uint8Array.of(AGENT_VERSION));
    for (let at = 0; at < request.length; at += VSOCK_PAYLOAD_MAX) {
      operation.send(HostFrame.Request, request.subarray(at, at + VSOCK_PAYLOAD_MAX));
    }
    operation.send(HostFrame.Request);
    return operation;
  }

  /** Sends a frame. False: wait for {@link drained} before much more. */
  send(type: HostFrame, payload?: Uint8Array): boolean {
    return this.over || this.stream.write(encodeFrame(type, payload));
  }

  /** Resolves when more can be sent, or nothing can any more. */
  async drained(): Promise<void> {
    if (this.over || !this.stream.writableNeedDrain) return;
    const stop = new AbortController();
    const { signal } = stop;
    const events = ['drain', 'close'].map((event) => once(this.stream, event, { signal }));
    await Promise.race(events).catch(() => undefined);
    stop.abort();
    for (const event of events) event.catch(() => undefined);
  }

  /** True when nothing can be sent any more. */
  get ended(): boolean {
    return this.over;
  }

  /** Stops reading from the guest. */
  pause(): void {
    this.stream.pause();
  }

  /** Goes on reading. */
  resume(): void {
    this.stream.resume();
  }

  /** The operation is complete, or given up with an error; what was sent still arrives. */
  finish(error?: VexitError): void {
    this.end(error);
  }

  private onData(bytes: Buffer): void {
    if (this.over) return;
    this.parser.push(bytes);
    if (this.parser.broken) this.end(brokenConnection('sent what is no frame'));
  }

  private onFrame(type: number, payload: Buffer): void {
    if (this.over) return;
    if (!this.greeted) {
      if (type !== GuestFrame.Hello || payload[0] !== AGENT_VERSION) {
        this.end(brokenConnection('speaks another version of the protocol'));
        return;
      }
      this.greeted = true;
      clearTimeout(this.timer);
    } else if (type === (GuestFrame.Error as number)) {
      this.end(guestError(payload));
    } else {
      this.listener.onFrame(type, payload);
    }
  }

  private end(error: VexitError | undefined): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    // Errors that follow are nobody's.
    this.stream.on('error', () => undefined);
    this.stream.resume();
    // A guest that does not take the rest does not get it.
    const timer = setTimeout(() => this.stream.destroy(), LEAVING_MS).unref();
    this.stream.once('close', () => clearTimeout(timer));
    this.stream.end(() => this.stream.destroy());
    this.listener.onEnd(error);
  }
}
