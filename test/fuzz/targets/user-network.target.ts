/** The user network: frames of anything, and time that passes. No socket of the host is opened. */
import {
  ArrayFrame,
  joinFrame,
  NO_OFFLOADS,
  type GuestFrame,
  type GuestPort,
} from '../../../src/net/net-backend.js';
import { UserNetwork } from '../../../src/net/user-network.js';
import { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget, OpenTarget } from '../engine/target.js';
import { nextFrame, TEMPLATE_COUNT } from './frame-builder.js';
import { FuzzClock } from './fuzz-clock.js';

const MOST_FRAMES = 12;
const MTU = 1500;
/** Of a connection that nobody looks after: idle time, then probes. */
const LONGEST_LIFE_MS = 900_000;
const MOST_CONNECTIONS = 32;

/** Ethernet and IP headers with 8 bytes of ICMP or UDP, or ARP; the last fragment may have one. */
function shortest(frame: Uint8Array): number {
  const isFragment =
    frame[12] === 0x08 && frame[13] === 0 && ((frame[20]! & 0x3f) | frame[21]!) !== 0;
  return isFragment ? 35 : 42;
}

class NetworkCase implements OpenTarget, GuestPort {
  readonly offloads = NO_OFFLOADS;
  private readonly clock = new FuzzClock();
  private readonly network: UserNetwork;
  private readonly frame = new ArrayFrame(new Uint8Array(0));
  private hasRoom = true;
  private received = 0;

  constructor() {
    this.network = new UserNetwork(
      { kind: 'user', hostName: 'lab', domain: 'test', dns: [], maxConnections: MOST_CONNECTIONS },
      {
        clock: this.clock,
        hostsFile: '/dev/null',
        onEvent: () => undefined,
        // Names exist, flows are refused, and some questions are never answered.
        decide: (request) => {
          if (request.type === 'lookup') return Promise.resolve('allow');
          return request.port % 3 === 0
            ? new Promise<never>(() => undefined)
            : Promise.resolve('deny');
        },
      },
    );
    this.network.attach(this);
  }

  receive(frame: GuestFrame): boolean {
    if (!this.hasRoom) return false;
    const bytes = joinFrame(frame);
    this.received++;
    must(bytes.length >= shortest(bytes), `a frame of ${bytes.length} bytes is a whole one`);
    must(bytes.length <= MTU + 14, 'a frame is no longer than the MTU');
    must((bytes[6]! & 1) === 0, 'a frame comes from a station');
    return true;
  }

  async run(bytes: Uint8Array): Promise<void> {
    const input = new Input(bytes);
    this.hasRoom = true;
    this.received = 0;
    for (let i = 0; i < MOST_FRAMES && !input.done; i++) {
      const action = input.u8();
      if (action < 230) this.send(nextFrame(input), input, action);
      else if (action < 240) this.clock.advance(input.u16());
      else if (action < 248) this.hasRoom = (action & 1) === 0;
      else {
        this.hasRoom = true;
        this.network.onRoom();
      }
      if ((action & 3) === 0) await Promise.resolve();
    }
    this.check();
    // What is going on has its end: connections, datagrams in pieces, questions.
    this.hasRoom = true;
    this.network.onRoom();
    await Promise.resolve();
    this.clock.advance(LONGEST_LIFE_MS);
    await Promise.resolve();
    const { tcpConnections, bufferedBytes } = this.network.statistics;
    must(
      tcpConnections === 0 && bufferedBytes === 0,
      'connections end and give back their buffers',
    );
    must(this.clock.pending <= 4, 'timers end');
  }

  private send(frame: Uint8Array, input: Input, action: number): void {
    this.frame.set(frame, 0, frame.length);
    const needsCsum = (action & 7) === 7;
    this.network.transmit(this.frame, {
      needsCsum,
      csumStart: needsCsum ? input.u8() : 0,
      csumOffset: needsCsum ? input.u8() : 0,
      gsoType: needsCsum ? input.u8() : 0,
      gsoSize: needsCsum ? input.u16() : 0,
      headerLength: needsCsum ? input.u16() : 0,
    });
    if ((action & 1) === 0) this.network.flush();
  }

  private check(): void {
    const { tcpConnections, udpSessions, bufferedBytes, reassemblyBytes } = this.network.statistics;
    must(tcpConnections <= MOST_CONNECTIONS, 'connections are bounded');
    must(udpSessions <= 1024, 'sessions are bounded');
    must(bufferedBytes < 8 << 20, 'buffers are bounded');
    must(reassemblyBytes < 2 << 20, 'pieces of datagrams are bounded');
  }

  close(): Promise<void> {
    return this.network.close();
  }
}

export const target: FuzzTarget = {
  name: 'user-network',
  maxBytes: 256,
  // Each kind of frame alone, and all that belong together.
  seeds: [
    ...Array.from({ length: TEMPLATE_COUNT }, (_, i) => Uint8Array.of(2, i, 0)),
    Uint8Array.of(2, 12, 0, 2, 13, 0, 2, 14, 0),
    Uint8Array.of(2, 19, 0, 2, 20, 0),
    Uint8Array.of(2, 9, 0, 2, 11, 0, 232, 100, 0, 248),
  ],
  open: () => new NetworkCase(),
};
