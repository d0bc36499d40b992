/**
 * Joins a connection of the guest with a socket of the host: bytes, half closes, resets and back
 * pressure, both ways.
 */
import type { Duplex } from 'node:stream';
import { SMALL_CHUNK, type Chunk, type ChunkPool } from '../chunk-pool.js';
import type { TcpConnection } from '../tcp/tcp-connection.js';
import type { TcpFailure, TcpUser } from '../tcp/tcp-user.js';
import { SocketWriter } from './socket-writer.js';

/** A socket that may be able to end with a RST, as `net.Socket` is. */
export type HostStream = Duplex & { resetAndDestroy?: () => unknown; connecting?: boolean };

/** Bytes that a connection holds in each direction, at most. */
export interface BridgeLimits {
  readonly toHost: number;
  readonly toGuest: number;
}

/** A guest has closed, the host does not take the rest: how long that may go on. */
const LINGER_MS = 60_000;

export class SocketBridge implements TcpUser {
  /** Bytes that went each way. */
  bytesToHost = 0;
  bytesToGuest = 0;

  private readonly writer: SocketWriter;
  private paused = false;
  private guestGone = false;
  private hostGone = false;
  private linger: NodeJS.Timeout | undefined;

  /**
   * @param direct the socket reads into {@link region} and calls {@link received}; otherwise its
   *   `data` events are used
   * @param onGone is called once, when both sides are gone
   */
  constructor(
    private readonly connection: TcpConnection,
    private readonly socket: HostStream,
    private readonly pool: ChunkPool,
    private readonly limits: BridgeLimits,
    direct: boolean,
    private readonly onGone: (bridge: SocketBridge) => void,
  ) {
    this.writer = new SocketWriter(socket, pool, () => {
      if (!this.guestGone) connection.windowOpened();
    });
    if (!direct) {
      socket.on('data', (bytes: Uint8Array) => {
        connection.sender.queue.append(bytes);
        this.bytesToGuest += bytes.length;
        if (this.isFull) {
          this.paused = true;
          socket.pause();
        }
        connection.resume();
      });
    }
    socket.on('end', () => {
      connection.end();
    });
    socket.on('error', () => {
      if (!this.guestGone) connection.abort();
      this.guestGone = true;
    });
    socket.on('close', () => this.onHostClosed());
  }

  /** Bytes from a socket that reads into {@link region}. False: no more for now. */
  received(count: number): boolean {
    if (this.guestGone) return false;
    this.connection.sender.queue.commit(count);
    this.bytesToGuest += count;
    this.connection.resume();
    this.paused = this.isFull;
    return !this.paused;
  }

  get room(): number {
    return Math.max(0, this.limits.toHost - this.writer.pending);
  }

  reserve(length: number): Chunk | undefined {
    return this.hostGone ? undefined : this.writer.reserve(length);
  }

  commit(chunk: Chunk, length: number): void {
    this.writer.commit(chunk, length);
    this.bytesToHost += length;
  }

  onConnected(): void {
    // Bytes that the host sent meanwhile follow with the acknowledgement that is being processed.
  }

  onFlush(): void {
    this.writer.flush();
  }

  onEnd(): void {
    this.writer.end();
  }

  onAcknowledged(): void {
    if (!this.paused || this.isFull) return;
    this.paused = false;
    this.socket.resume();
  }

  onClosed(failure?: TcpFailure): void {
    this.guestGone = true;
    if (failure !== undefined) {
      this.destroy();
    } else if (!this.hostGone) {
      this.writer.end();
      this.linger = setTimeout(() => this.destroy(), LINGER_MS).unref();
    }
  }

  /** Ends the socket with a RST where that is possible. */
  destroy(): void {
    const { socket } = this;
    // A RST during a shutdown would fail and leave the handle open.
    if (
      socket.connecting === true ||
      socket.writableEnded ||
      socket.resetAndDestroy === undefined
    ) {
      socket.destroy();
    } else {
      socket.resetAndDestroy();
    }
    this.writer.close();
  }

  private get isFull(): boolean {
    const limit = this.pool.tight ? SMALL_CHUNK : this.limits.toGuest;
    return this.connection.sender.queue.length >= limit;
  }

  private onHostClosed(): void {
    if (this.hostGone) return;
    this.hostGone = true;
    clearTimeout(this.linger);
    this.writer.close();
    // Both directions have ended, or somebody has destroyed the socket.
    if (!this.guestGone && !(this.socket.readableEnded && this.socket.writableFinished)) {
      this.connection.abort();
    }
    this.onGone(this);
  }
}
