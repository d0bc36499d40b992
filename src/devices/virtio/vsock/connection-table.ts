/** The connections of a device by their ports, at most so many; and the order they send in. */
import type { Connection } from './connection.js';

/** Connections at once, those included that only finish what the guest has sent. */
export const MAX_CONNECTIONS = 1024;
/** Where ports of the host that nobody has asked for begin, as Firecracker has it. */
const FIRST_HOST_PORT = 2 ** 30;

/** Connections by both ports. */
export class ConnectionTable {
  private readonly byHostPort = new Map<number, Map<number, Connection>>();
  private nextHostPort = FIRST_HOST_PORT;
  private count = 0;

  get size(): number {
    return this.count;
  }

  get(hostPort: number, guestPort: number): Connection | undefined {
    return this.byHostPort.get(hostPort)?.get(guestPort);
  }

  add(connection: Connection): void {
    const { hostPort, guestPort } = connection;
    let guests = this.byHostPort.get(hostPort);
    if (guests === undefined) {
      guests = new Map<number, Connection>();
      this.byHostPort.set(hostPort, guests);
    }
    guests.set(guestPort, connection);
    this.count++;
  }

  delete(connection: Connection): void {
    const { hostPort, guestPort } = connection;
    const guests = this.byHostPort.get(hostPort);
    if (guests?.get(guestPort) !== connection) return;
    guests.delete(guestPort);
    if (guests.size === 0) this.byHostPort.delete(hostPort);
    this.count--;
  }

  /** A port of the host that has no connection. */
  freeHostPort(): number {
    let port = this.nextHostPort;
    while (this.byHostPort.has(port)) port = after(port);
    this.nextHostPort = after(port);
    return port;
  }

  all(): Connection[] {
    return [...this.byHostPort.values()].flatMap((guests) => [...guests.values()]);
  }
}

function after(port: number): number {
  return port === 0x7fff_ffff ? FIRST_HOST_PORT : port + 1;
}

/** Connections that have something to send, each once, in turn. */
export class ReadyList {
  private first: Connection | undefined;
  private last: Connection | undefined;

  get front(): Connection | undefined {
    return this.first;
  }

  push(connection: Connection): void {
    if (connection.ready) return;
    connection.ready = true;
    connection.nextReady = undefined;
    if (this.last === undefined) this.first = connection;
    else this.last.nextReady = connection;
    this.last = connection;
  }

  shift(): void {
    const { first } = this;
    if (first === undefined) return;
    this.first = first.nextReady;
    if (this.first === undefined) this.last = undefined;
    first.ready = false;
    first.nextReady = undefined;
  }

  clear(): void {
    while (this.first !== undefined) this.shift();
  }
}
