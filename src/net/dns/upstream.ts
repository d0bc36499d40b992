/**
 * Asks the host's resolvers, with the guest's question as it is: all types of records and extensions
 * come through. Each question has a socket and an id of its own, so that answers cannot be guessed.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { put16, get16 } from '../wire/bytes.js';
import { answersQuery, type DnsQuery } from './dns-message.js';

const ATTEMPT_MS = 2000;
const MOST_ATTEMPTS = 4;
const MOST_QUESTIONS = 256;

/** A resolver. */
export interface Resolver {
  readonly host: string;
  readonly port: number;
}

/** `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53` as `dns.getServers()` gives them. */
export function parseResolver(text: string): Resolver {
  const match = /^\[(.*)\]:(\d+)$/.exec(text) ?? /^([^:]*):(\d+)$/.exec(text);
  return match === null ? { host: text, port: 53 } : { host: match[1]!, port: Number(match[2]) };
}

export class Upstream {
  private open = 0;
  private closed = false;
  private readonly closers = new Set<() => void>();

  /** @param resolvers called for each question, because the host's may change */
  constructor(private readonly resolvers: () => readonly Resolver[]) {}

  /** Questions that wait for an answer. */
  get questions(): number {
    return this.open;
  }

  /** The answer with the query's own id, or undefined when there is none. */
  async ask(query: DnsQuery, tcp: boolean): Promise<Uint8Array | undefined> {
    const resolvers = this.resolvers();
    if (this.open >= MOST_QUESTIONS || resolvers.length === 0) return undefined;
    this.open++;
    try {
      for (let i = 0; i < MOST_ATTEMPTS && !this.closed; i++) {
        const id = randomInt(0x10000);
        const bytes = Uint8Array.from(query.bytes);
        put16(bytes, 0, id);
        const resolver = resolvers[i % resolvers.length]!;
        const answer = await (tcp ? this.overTcp(resolver, bytes) : this.overUdp(resolver, bytes));
        if (answer !== undefined && answersQuery(answer, query, id)) {
          const copy = Uint8Array.from(answer);
          put16(copy, 0, query.id);
          return copy;
        }
      }
      return undefined;
    } finally {
      this.open--;
    }
  }

  close(): void {
    this.closed = true;
    for (const close of this.closers) close();
  }

  private overUdp(resolver: Resolver, query: Uint8Array): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const socket = createSocket(resolver.host.includes(':') ? 'udp6' : 'udp4');
      const done = this.attempt(resolve, () => socket.close());
      socket.on('error', () => done());
      socket.on('message', (answer) => {
        // Answers to other questions are forged or late.
        if (answer.length >= 2 && get16(answer, 0) === get16(query, 0)) done(answer);
      });
      socket.connect(resolver.port, resolver.host, () => socket.send(query));
    });
  }

  private overTcp(resolver: Resolver, query: Uint8Array): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const socket = connect(resolver.port, resolver.host);
      const done = this.attempt(resolve, () => socket.destroy());
      let received: Buffer = Buffer.alloc(0);
      socket.on('error', () => done());
      socket.on('end', () => done());
      socket.on('data', (bytes) => {
        // One answer of at most 64 KiB is all that is waited for.
        received = Buffer.concat([received, bytes]);
        if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
          done(received.subarray(2, 2 + received.readUInt16BE(0)));
        }
      });
      const length = new Uint8Array(2);
      put16(length, 0, query.length);
      socket.write(Buffer.concat([length, query]));
    });
  }

  /** Ends an attempt once: by its answer, by its time, or by {@link close}. */
  private attempt(
    resolve: (answer: Uint8Array | undefined) => void,
    close: () => void,
  ): (answer?: Uint8Array) => void {
    const done = (answer?: Uint8Array): void => {
      if (!this.closers.delete(giveUp)) return;
      clearTimeout(timer);
      close();
      resolve(answer);
    };
    const giveUp = (): void => done();
    const timer = setTimeout(giveUp, ATTEMPT_MS).unref();
    this.closers.add(giveUp);
    return done;
  }
}
