/** DNS over TCP (RFC 7766): messages with their length in front, answered in any order. */
import { Duplex } from 'node:stream';
import { get16, put16 } from '../wire/bytes.js';
import type { DnsService } from './dns-service.js';

/** Queries of one connection that wait for an answer. */
const MOST_QUERIES = 16;
const IDLE_MS = 10_000;

/** The server's end of a connection, as a stream. */
export class DnsStream extends Duplex {
  private received: Buffer = Buffer.alloc(0);
  private queries = 0;
  private inputEnded = false;
  private blocked: (() => void) | undefined;
  private readonly idle = setTimeout(() => this.destroy(), IDLE_MS).unref();

  constructor(private readonly service: DnsService) {
    super({ allowHalfOpen: true });
  }

  override _read(): void {
    // Answers are pushed when they come; their number is bounded.
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.received = Buffer.concat([this.received, bytes]);
    this.idle.refresh();
    this.takeMessages(done);
  }

  override _final(done: () => void): void {
    this.inputEnded = true;
    if (this.queries === 0) this.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.idle);
    done(error);
  }

  /** Answers whole messages; keeps the stream waiting while too many are under way. */
  private takeMessages(done: () => void): void {
    while (this.received.length >= 2) {
      const end = 2 + get16(this.received, 0);
      if (this.received.length < end) break;
      if (this.queries >= MOST_QUERIES) {
        this.blocked = done;
        return;
      }
      const message = Uint8Array.from(this.received.subarray(2, end));
      this.received = this.received.subarray(end);
      this.ask(message);
    }
    done();
  }

  private ask(message: Uint8Array): void {
    this.queries++;
    const isQuery = this.service.query(message, true, (answer) => {
      this.queries--;
      if (this.destroyed) return;
      const bytes = Buffer.alloc(2 + answer.length);
      put16(bytes, 0, answer.length);
      bytes.set(answer, 2);
      this.push(bytes);
      this.idle.refresh();
      const { blocked } = this;
      this.blocked = undefined;
      if (blocked !== undefined) this.takeMessages(blocked);
      if (this.inputEnded && this.queries === 0) this.push(null);
    });
    // Who sends something else is not worth listening to.
    if (!isQuery) this.destroy();
  }
}
