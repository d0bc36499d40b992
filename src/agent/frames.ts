/**
 * Frames between the VMM and the guest's agent, see docs/guest.md: type, zero, 16-bit
 * little-endian length, payload.
 */

/** Longest payload of a frame. */
export const FRAME_PAYLOAD_MAX = 4096;
const HEADER_BYTES = 4;

export enum HostFrame {
  Stdin = 0x01,
  Resize = 0x02,
  Signal = 0x03,
  Shutdown = 0x04,
  ExitSeen = 0x05,
}

export enum GuestFrame {
  Hello = 0x10,
  Stdout = 0x11,
  Stderr = 0x12,
  Exit = 0x13,
  Ready = 0x14,
  Credit = 0x15,
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

  /** @param onFrame gets a type that may be unknown and a payload that is the receiver's to keep */
  constructor(private readonly onFrame: (type: number, payload: Buffer) => void) {}

  push(bytes: Uint8Array): void {
    if (this.broken) return;
    this.pending = Buffer.concat([this.pending, bytes]);
    let at = 0;
    while (this.pending.length - at >= HEADER_BYTES) {
      const length = this.pending.readUInt16LE(at + 2);
      if (length > FRAME_PAYLOAD_MAX || this.pending[at + 1] !== 0) {
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
