/** A link between a guest and a network that loses, doubles and reorders frames, both ways. */
import {
  ArrayFrame,
  type FrameMeta,
  type FrameSource,
  type GuestFrame,
  type GuestPort,
  type NetBackend,
  type NetOffloads,
} from '../../src/net/net-backend.js';

/** A held frame goes after the next one, or after so many milliseconds. */
const HELD_MS = 5;

/** One direction: what becomes of frames. */
class Fate {
  lost = 0;
  doubled = 0;
  late = 0;
  private held: (() => void) | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** @param random from 0 to 1; the first fraction is lost, the others doubled and held */
  constructor(
    private readonly random: () => number,
    private readonly fraction: number,
  ) {}

  /** Sends a frame none, one or two times; `keep` gives a function that sends a copy of it later. */
  decide(send: () => boolean, keep: () => () => void): boolean {
    const kind = Math.floor(this.random() / this.fraction);
    if (kind === 0) {
      this.lost++;
      return true;
    }
    if (kind === 2 && this.held === undefined) {
      this.late++;
      this.held = keep();
      this.timer = setTimeout(() => this.release(), HELD_MS);
      return true;
    }
    const sent = send();
    if (sent && kind === 1) {
      this.doubled++;
      send();
    }
    if (sent) this.release();
    return sent;
  }

  release(): void {
    const { held } = this;
    this.held = undefined;
    clearTimeout(this.timer);
    held?.();
  }
}

/** In front of a network; has the same interface. */
export class LossyLink implements NetBackend {
  readonly toHost: Fate;
  readonly toGuest: Fate;

  constructor(
    private readonly network: NetBackend,
    fraction: number,
    random: () => number,
  ) {
    this.toHost = new Fate(random, fraction);
    this.toGuest = new Fate(random, fraction);
  }

  get offloads(): NetOffloads {
    return this.network.offloads;
  }
  get mtu(): number {
    return this.network.mtu;
  }

  transmit(frame: FrameSource, meta: FrameMeta): void {
    const send = (): boolean => {
      this.network.transmit(frame, meta);
      return true;
    };
    this.toHost.decide(send, () => {
      const bytes = new Uint8Array(frame.length);
      frame.copy(0, bytes, 0, bytes.length);
      const copy = { ...meta };
      return () => {
        this.network.transmit(new ArrayFrame(bytes, 0, bytes.length), copy);
        this.network.flush();
      };
    });
  }

  flush(): void {
    this.network.flush();
  }

  attach(port: GuestPort): void {
    const { toGuest } = this;
    this.network.attach({
      get offloads() {
        return port.offloads;
      },
      receive: (frame: GuestFrame) =>
        toGuest.decide(
          () => port.receive(frame),
          () => {
            const from = frame.payloadStart;
            const copy: GuestFrame = {
              header: frame.header.slice(),
              headerLength: frame.headerLength,
              payload: frame.payload.slice(from, from + frame.payloadLength),
              payloadStart: 0,
              payloadLength: frame.payloadLength,
              meta: { ...frame.meta },
            };
            // What does not fit then is lost, as anything here can be.
            return () => void port.receive(copy);
          },
        ),
    });
  }

  onRoom(): void {
    this.network.onRoom();
  }

  close(): Promise<void> {
    this.toHost.release();
    this.toGuest.release();
    return this.network.close();
  }
}
