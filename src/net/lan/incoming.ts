/**
 * Connections from other members. The first packet says who it is; after that they carry frames. What
 * comes over them is another process's word and is checked.
 */
import { native, type WatchHandle } from '../../kvm/native.js';
import { FIRST_HOST, LAST_HOST } from './lan-options.js';
import { macNumber } from './mac-table.js';

const READABLE = 1;
const HELLO_BYTES = 16;
/** "VXL1": the form of what follows has this version. */
const MAGIC = [0x56, 0x58, 0x4c, 0x31];

/** Who a member says it is. */
export interface Hello {
  readonly host: number;
  /** See `macNumber`. */
  readonly mac: number;
}

/** @param mac six bytes */
export function encodeHello(host: number, mac: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HELLO_BYTES);
  bytes.set(MAGIC);
  bytes[4] = host;
  bytes.set(mac.subarray(0, 6), 6);
  return bytes;
}

/** Undefined for anything that is not one. */
export function decodeHello(bytes: Uint8Array): Hello | undefined {
  if (bytes.length !== HELLO_BYTES || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const host = bytes[4]!;
  const mac = macNumber(bytes, 6);
  const wrong = host < FIRST_HOST || host > LAST_HOST || mac === 0 || (bytes[6]! & 1) !== 0;
  return wrong ? undefined : { host, mac };
}

/** Who hears of connections. */
export interface IncomingOwner {
  /** Someone has said who it is; false ends the connection. */
  introduced(incoming: Incoming, hello: Hello): boolean;
  /** Frames can be received. */
  readable(incoming: Incoming): void;
  ended(incoming: Incoming): void;
}

export class Incoming {
  /** 0 until it has said who it is. */
  host = 0;
  private readonly watch: WatchHandle;
  private closed = false;

  /** @param fd of the connection, and closed by this object */
  constructor(
    readonly fd: number,
    private readonly owner: IncomingOwner,
  ) {
    this.watch = native().watchReadable(fd, () => this.onReadable());
  }

  /** Lets packets wait in the socket, or not. */
  hold(held: boolean): void {
    if (!this.closed) native().watchEvents(this.watch, held ? 0 : READABLE);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    native().unwatch(this.watch);
    native().fsClose(this.fd);
  }

  end(): void {
    this.close();
    this.owner.ended(this);
  }

  private onReadable(): void {
    if (this.host !== 0) {
      this.owner.readable(this);
      return;
    }
    const bytes = new Uint8Array(HELLO_BYTES);
    const length = new Uint32Array(1);
    const count = native().packetReceive(
      this.fd,
      bytes,
      HELLO_BYTES,
      new Uint8Array(length.buffer),
    );
    const hello = count === 1 && length[0] === HELLO_BYTES ? decodeHello(bytes) : undefined;
    if (hello === undefined || !this.owner.introduced(this, hello)) this.end();
    else this.host = hello.host;
  }
}
