/** What a connection with the guest is to the other side. */
import type { ReceiverSink } from './tcp-receiver.js';

/** Why a connection has gone before its end. */
export type TcpFailure = 'reset' | 'timeout' | 'evicted';

/** The other side of a connection. */
export interface TcpUser extends ReceiverSink {
  /** The handshake with the guest is complete. */
  onConnected(): void;
  /** The guest will send nothing more. */
  onEnd(): void;
  /** The guest has taken bytes. */
  onAcknowledged(): void;
  /** The end of a batch of frames: bytes that were committed can go on. */
  onFlush(): void;
  /** The connection is gone; without a failure, both sides had ended. */
  onClosed(failure?: TcpFailure): void;
}
