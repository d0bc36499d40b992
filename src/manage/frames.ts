/**
 * Frames of the control connection: length (u32, little endian), type (u8), payload. A connection
 * begins with one JSON request and its JSON reply; a stream, if there is one, comes after that.
 */
import type { Socket } from 'node:net';
import { VexitError } from '../util/errors.js';

/** What a frame carries. */
export const FrameType = {
  Json: 0,
  /** Bytes of the console, standard input or output. */
  Data: 1,
  /** Bytes of standard error. */
  ErrorData: 2,
  /** No more bytes from this side. */
  End: 3,
  /** Presses the power button; from an attached terminal. */
  Power: 4,
} as const;

const HEADER = 5;
/** A peer that sends more in one frame is none of ours. */
const MAX_PAYLOAD = 2 ** 20;

/** One frame. */
export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

export function encodeFrame(type: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.alloc(HEADER + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt8(type, 4);
  frame.set(payload, HEADER);
  return frame;
}

export function encodeJson(value: unknown): Buffer {
  return encodeFrame(FrameType.Json, Buffer.from(JSON.stringify(value)));
}

/** @throws VexitError ERR_CONTROL for what is not a JSON object */
export function decodeJson({ type, payload }: Frame): Record<string, unknown> {
  if (type === FrameType.Json) {
    try {
      const value: unknown = JSON.parse(payload.toString('utf8'));
      if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
    } catch {
      // Said below.
    }
  }
  throw new VexitError('ERR_CONTROL', 'the control connection carries what is no request');
}

/** Cuts a stream into frames. */
export class FrameReader {
  private buffer: Buffer = Buffer.alloc(0);

  /** @throws VexitError ERR_CONTROL for a frame that is too long */
  push(bytes: Buffer): Frame[] {
    this.buffer = this.buffer.length === 0 ? bytes : Buffer.concat([this.buffer, bytes]);
    const frames: Frame[] = [];
    while (this.buffer.length >= HEADER) {
      const length = this.buffer.readUInt32LE(0);
      if (length > MAX_PAYLOAD) {
        throw new VexitError('ERR_CONTROL', 'the control connection carries what is no frame');
      }
      if (this.buffer.length < HEADER + length) break;
      const type = this.buffer.readUInt8(4);
      frames.push({ type, payload: this.buffer.subarray(HEADER, HEADER + length) });
      this.buffer = this.buffer.subarray(HEADER + length);
    }
    return frames;
  }
}

/** Writes bytes as frames; false when the socket wants a pause. */
export function writeData(socket: Socket, type: number, bytes: Uint8Array): boolean {
  let more = true;
  for (let at = 0; at < bytes.length; at += MAX_PAYLOAD) {
    more = socket.write(encodeFrame(type, bytes.subarray(at, at + MAX_PAYLOAD)));
  }
  return more;
}
