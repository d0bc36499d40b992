/**
 * Connections that the guest opens: decided on, then connected on the host; only after that is the
 * guest's SYN answered, so that the guest sees what really happened.
 */
import { Socket } from 'node:net';
import type { NetworkAddresses } from '../addresses.js';
import type { ChunkPool } from '../chunk-pool.js';
import { DNS_PORT, type DnsService } from '../dns/dns-service.js';
import { DnsStream } from '../dns/dns-stream.js';
import type { EventSink } from '../events.js';
import { quotedStart, type IcmpAnswers, type Unreachable } from '../icmp.js';
import type { Gate } from '../policy/gate.js';
import type { TcpConnection } from '../tcp/tcp-connection.js';
import type { TcpHandler } from '../tcp/tcp-stack.js';
import { systemCode } from '../../util/errors.js';
import { Protocol } from '../wire/packet.js';
import type { Reach } from './reach.js';
import { SocketBridge, type BridgeLimits, type HostStream } from './socket-bridge.js';

const CONNECT_MS = 30_000;
/** Silence after which the host's kernel looks whether a peer is still there. */
export const KEEP_ALIVE_MS = 120_000;

/** What the guest is told about a connection that fails; everything else is a RST. */
const UNREACHABLE: Readonly<Record<string, Unreachable>> = {
  ENETUNREACH: 'network',
  ENETDOWN: 'network',
  EAFNOSUPPORT: 'network',
  EADDRNOTAVAIL: 'network',
  EHOSTUNREACH: 'host',
  EHOSTDOWN: 'host',
  ETIMEDOUT: 'host',
};

/** The process has as many files as it may have, or the host has. */
const OUT_OF_FILES = new Set(['EMFILE', 'ENFILE']);

export interface ForwarderParts {
  readonly addresses: NetworkAddresses;
  readonly gate: Gate;
  readonly reach: Reach;
  readonly dns: DnsService;
  readonly icmp: IcmpAnswers;
  readonly pool: ChunkPool;
  readonly events: EventSink;
  readonly limits: BridgeLimits;
  /** Sockets of the host, those included that the guest has let go of. */
  readonly mostSockets: number;
  /** Takes a line about the host; any number of times the same. */
  readonly warn: (line: string) => void;
}

export class TcpForwarder implements TcpHandler {
  private readonly bridges = new Set<SocketBridge>();
  /** Sockets that are not connected yet, by the connection that waits for them. */
  private readonly connecting = new Map<TcpConnection, Socket>();
  /** Connections that wait for a decision. */
  private readonly undecided = new Set<TcpConnection>();

  constructor(private readonly parts: ForwarderParts) {}

  /** Sockets of the host. */
  get size(): number {
    return this.bridges.size + this.connecting.size;
  }

  onSyn(connection: TcpConnection): void {
    const { addresses, gate, reach, dns, mostSockets } = this.parts;
    const { remoteAddress: address, remotePort: port } = connection;
    if (this.size >= mostSockets) {
      connection.refuse(true);
      return;
    }
    if (port === DNS_PORT && addresses.isGateway(address)) {
      this.serve(connection, new DnsStream(dns));
      return;
    }
    const reached = reach.find(address);
    if (reached === 'unreachable') {
      this.refuse(connection, 'host');
    } else if (reached === 'host-denied') {
      gate.hostDenied('tcp', address, port);
      connection.refuse(true);
    } else {
      this.undecided.add(connection);
      gate.flow('tcp', address, port, (verdict) => {
        // The guest may have given up meanwhile.
        if (!this.undecided.delete(connection)) return;
        if (verdict === 'allow') this.connect(connection, reached.host);
        else connection.refuse(true);
      });
    }
  }

  onAbandoned(connection: TcpConnection): void {
    this.undecided.delete(connection);
    this.connecting.get(connection)?.destroy();
    this.connecting.delete(connection);
  }

  close(): void {
    for (const socket of this.connecting.values()) socket.destroy();
    this.connecting.clear();
    this.undecided.clear();
    for (const bridge of this.bridges) bridge.destroy();
  }

  /** Joins a connection with a stream that is ready. */
  serve(connection: TcpConnection, stream: HostStream): SocketBridge {
    const bridge = this.bridge(connection, stream, false);
    connection.accept(bridge);
    return bridge;
  }

  /** Joins a connection to the guest with a socket that the host has accepted. */
  bridge(connection: TcpConnection, stream: HostStream, direct: boolean): SocketBridge {
    const { pool, limits } = this.parts;
    const bridge = new SocketBridge(connection, stream, pool, limits, direct, (gone) => {
      this.bridges.delete(gone);
      this.report(connection, gone);
    });
    this.bridges.add(bridge);
    return bridge;
  }

  private connect(connection: TcpConnection, host: string): void {
    const { queue } = connection.sender;
    let bridge: SocketBridge | undefined;
    const socket = new Socket({
      allowHalfOpen: true,
      // The kernel writes into the queue that the guest is served from.
      onread: {
        buffer: () => queue.region(),
        callback: (count: number) => bridge?.received(count) ?? false,
      },
    } as ConstructorParameters<typeof Socket>[0]);
    this.connecting.set(connection, socket);
    const timeout = setTimeout(() => socket.destroy(timedOut()), CONNECT_MS).unref();
    const onError = (error: Error): void => {
      if (!this.connecting.delete(connection)) return;
      const code = systemCode(error) ?? '';
      if (OUT_OF_FILES.has(code)) {
        this.parts.warn(
          `connections of the guest are refused: no more open files (${code}); see ulimit -n`,
        );
      }
      const why = UNREACHABLE[code];
      if (why === undefined) connection.refuse(true);
      else this.refuse(connection, why);
    };
    socket.on('error', onError);
    socket.on('close', () => clearTimeout(timeout));
    socket.on('connect', () => {
      clearTimeout(timeout);
      if (!this.connecting.delete(connection)) return;
      socket.off('error', onError);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      bridge = this.bridge(connection, socket, true);
      connection.accept(bridge);
    });
    try {
      socket.connect({ host, port: connection.remotePort, autoSelectFamily: false });
    } catch (error) {
      onError(error as Error);
    }
  }

  private refuse(connection: TcpConnection, why: Unreachable): void {
    const start = quotedStart(connection.guestPort, connection.remotePort, connection.guestInitial);
    this.parts.icmp.unreachable({ route: connection, protocol: Protocol.Tcp, start }, why);
    connection.refuse(false);
  }

  private report({ remoteAddress, remotePort }: TcpConnection, bridge: SocketBridge): void {
    this.parts.events.emit({
      type: 'closed',
      protocol: 'tcp',
      address: remoteAddress.toString(),
      port: remotePort,
      bytesToHost: bridge.bytesToHost,
      bytesToGuest: bridge.bytesToGuest,
    });
  }
}

function timedOut(): Error {
  return Object.assign(new Error('connecting took too long'), { code: 'ETIMEDOUT' });
}
