/**
 * Frames between the host and the guest's agents, see docs/guest.md and docs/agent.md: type, zero,
 * 16-bit little-endian length, payload.
 */

/** Longest payload of a frame of the agent channel. */
export const FRAME_PAYLOAD_MAX = 4096;
/** Longest payload of a frame on vsock. */
export const VSOCK_PAYLOAD_MAX = 32768;
const HEADER_BYTES = 4;

export enum HostFrame {
  /** Standard input; on vsock also what files hold. */
  Stdin = 0x01,
  Resize = 0x02,
  Signal = 0x03,
  Shutdown = 0x04,
  ExitSeen = 0x05,
  // On vsock only.
  Hello = 0x06,
  Request = 0x07,
  Credit = 0x08,
}

export enum GuestFrame {
  Hello = 0x10,
  /** Standard output; on vsock also what files hold. */
  Stdout = 0x11,
  Stderr = 0x12,
  Exit = 0x13,
  /** The program has been started. */
  Ready = 0x14,
  Credit = 0x15,
  // On vsock only.
  Error = 0x16,
  Result = 0x17,
}

/** A frame ready to send. */
export function encodeFrame(type: HostFrame, payload: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt16LE(payload.length, 2);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/**
 * Cuts a byte stream into frames. The stream comes from the guest: a length above the limit ends
 * the parsing for good, since what follows cannot be trusted to be frames.
 */
export class FrameParser {
  private pending = Buffer.alloc(0);
  /** Set once the stream was not frames. */
  broken = false;

  /**
   * @param onFrame gets a type that may be unknown and a payload that is the receiver's to keep
   * @param limit longest payload
   */
  constructor(
    private readonly onFrame: (type: number, payload: Buffer) => void,
    private readonly limit = FRAME_PAYLOAD_MAX,
  ) {}

  push(bytes: Uint8Array): void {
    if (this.broken) return;
    this.pending = Buffer.concat([this.pending, bytes]);
    let at = 0;
    while (this.pending.length - at >= HEADER_BYTES) {
      const length = this.pending.readUInt16LE(at + 2);
      if (length > this.limit || this.pending[at + 1] !== 0) {
        this.broken = true;
        this.pending = Buffer.alloc(0);
        return;
      }
      const end = at + HEADER_BYTES + length;
      if (this.pending.length < end) break;
      this.onFrame(this.pending[at]!, this.pending.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    this.pending = this.pending.subarray(at);
  }
}
