/**
 * Writes the frames of a network to a pcapng file. A disk that is slower than the network costs frames
 * in the file, counted there, and never memory or the network's speed.
 */
import { createWriteStream, openSync, type WriteStream } from 'node:fs';
import { VexitError, errorMessage } from '../../util/errors.js';
import type { FrameTap } from '../link.js';
import type { FrameSource, GuestFrame } from '../net-backend.js';
import {
  Direction,
  fileHeader,
  packetBlock,
  packetBlockLength,
  SNAP_LENGTH,
  statisticsBlock,
} from './pcapng.js';

/** Bytes that wait for the disk. */
const MOST_WAITING = 4 << 20;

export class Capture implements FrameTap {
  /** Frames that are not in the file. */
  dropped = 0;

  private readonly stream: WriteStream;
  private failed = false;
  private written = 0;

  /**
   * Opens the file, which is overwritten.
   * @param limit bytes after which frames are left out
   * @throws VexitError ERR_CONFIG when that does not work
   */
  constructor(
    path: string,
    private readonly limit = Infinity,
  ) {
    let fd: number;
    try {
      fd = openSync(path, 'w', 0o600);
    } catch (error) {
      throw new VexitError(
        'ERR_CONFIG',
        `cannot write the capture ${path}: ${errorMessage(error)}`,
        'name a file in a directory that exists and can be written',
      );
    }
    this.stream = createWriteStream(path, { fd });
    // A full disk ends the capture, not the network.
    this.stream.on('error', () => (this.failed = true));
    this.write(fileHeader());
  }

  /** A frame to the guest. */
  toGuest(frame: GuestFrame): void {
    const { header, headerLength, payload, payloadStart, payloadLength } = frame;
    this.add(headerLength + payloadLength, Direction.Inbound, (target) => {
      target.set(header.subarray(0, headerLength));
      target.set(payload.subarray(payloadStart, payloadStart + payloadLength), headerLength);
    });
  }

  /** A frame from the guest. */
  fromGuest(frame: FrameSource): void {
    const { length } = frame;
    this.add(length, Direction.Outbound, (target) => frame.copy(0, target, 0, length));
  }

  /** Finishes the file. */
  close(): Promise<void> {
    if (!this.failed) this.write(statisticsBlock(microseconds(), this.dropped));
    return new Promise((resolve) => {
      this.stream.once('close', resolve);
      this.stream.end();
      if (this.stream.closed) resolve();
    });
  }

  private add(length: number, direction: Direction, fill: (target: Uint8Array) => void): void {
    const full =
      this.stream.writableLength > MOST_WAITING ||
      this.written + packetBlockLength(length) > this.limit;
    if (this.failed || full || length > SNAP_LENGTH) {
      this.dropped++;
      return;
    }
    this.write(packetBlock(length, microseconds(), direction, fill));
  }

  private write(bytes: Buffer): void {
    this.written += bytes.length;
    this.stream.write(bytes);
  }
}

function microseconds(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}
