/**
 * Fragments of IP datagrams (RFC 791, RFC 8200 4.5), within bounds: a few datagrams at a time, each
 * for a while. Overlapping fragments are an attack (RFC 5722): their datagram is dropped.
 */
import type { Clock } from '../timers.js';
import type { Packet } from './packet.js';

const LARGEST = 65535;
const MOST_DATAGRAMS = 16;
/** A datagram of 64 KiB has some 45 fragments of 1500 bytes. */
const MOST_FRAGMENTS = 256;
const LIFETIME_MS = 15_000;

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface Datagram {
  readonly since: number;
  readonly pieces: Piece[];
  received: number;
  /** Where the last fragment ends, once it is there. */
  total: number | undefined;
  /** Fragments overlapped: whatever else comes is dropped with it. */
  bad: boolean;
}

export class Reassembler {
  private readonly datagrams = new Map<string, Datagram>();

  constructor(private readonly clock: Clock) {}

  /** Bytes that wait for more. */
  get bytes(): number {
    let sum = 0;
    for (const datagram of this.datagrams.values()) sum += datagram.received;
    return sum;
  }

  /** Takes a fragment. True when the packet is now the whole datagram. */
  add(packet: Packet, key: string, offset: number, more: boolean): boolean {
    const length = packet.transportLength;
    if (offset === 0 && !more) return true;
    const end = offset + length;
    if (end > LARGEST || (more && (length === 0 || length % 8 !== 0))) return false;
    const datagram = this.find(key);
    if (datagram.bad) return false;
    const overlaps = datagram.pieces.some(
      (piece) => piece.offset < end && offset < piece.offset + piece.bytes.length,
    );
    const { total } = datagram;
    const wrongEnd = total !== undefined && (more ? end > total : end !== total);
    if (overlaps || wrongEnd || datagram.pieces.length >= MOST_FRAGMENTS) {
      datagram.bad = true;
      datagram.pieces.length = 0;
      datagram.received = 0;
      return false;
    }
    datagram.pieces.push({ offset, bytes: packet.payload(0) });
    datagram.received += length;
    if (!more) datagram.total = end;
    if (datagram.received !== datagram.total) return false;
    this.datagrams.delete(key);
    const whole = new Uint8Array(datagram.received);
    for (const piece of datagram.pieces) {
      if (piece.offset + piece.bytes.length > whole.length) return false;
      whole.set(piece.bytes, piece.offset);
    }
    packet.setReassembled(whole);
    return true;
  }

  private find(key: string): Datagram {
    const now = this.clock.now();
    const known = this.datagrams.get(key);
    if (known !== undefined && now - known.since < LIFETIME_MS) return known;
    this.datagrams.delete(key);
    // The oldest goes: whoever floods with fragments loses fragments.
    if (this.datagrams.size >= MOST_DATAGRAMS) {
      const [oldest] = this.datagrams.keys();
      this.datagrams.delete(oldest!);
    }
    const datagram: Datagram = {
      since: now,
      pieces: [],
      received: 0,
      total: undefined,
      bad: false,
    };
    this.datagrams.set(key, datagram);
    return datagram;
  }
}
