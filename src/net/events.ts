/** What a network reports. A guest can cause events without end, so their rate is limited. */
import type { Clock } from './timers.js';

export type NetProtocol = 'tcp' | 'udp' | 'icmp';
export type Verdict = 'allow' | 'deny';

/** Why something was denied or allowed. */
export type Reason = 'rule' | 'default' | 'callback' | 'host';

/** A flow from the guest that somebody may decide on. Plain data. */
export interface FlowRequest {
  readonly type: 'flow';
  readonly protocol: NetProtocol;
  /** Where to, as text. */
  readonly address: string;
  /** 0 for ICMP. */
  readonly port: number;
  /** Names that the guest has looked up and that have this address. */
  readonly names: readonly string[];
}

/** A look-up that somebody may decide on. Plain data. */
export interface LookupRequest {
  readonly type: 'lookup';
  /** In lower case, without the dot at its end. */
  readonly name: string;
  /** `A`, `AAAA`, `MX`, or `TYPE65` for those without a name here. */
  readonly recordType: string;
}

export type NetRequest = FlowRequest | LookupRequest;

/** Something that has happened. Plain data. */
export type NetEvent =
  | (FlowRequest & { readonly verdict: Verdict; readonly reason: Reason })
  | (LookupRequest & { readonly verdict: Verdict; readonly reason: Reason })
  | {
      readonly type: 'closed';
      readonly protocol: NetProtocol;
      readonly address: string;
      readonly port: number;
      readonly bytesToHost: number;
      readonly bytesToGuest: number;
    }
  /** A port of the host that is published has failed. */
  | { readonly type: 'publish-error'; readonly message: string }
  /** Events that were left out. */
  | { readonly type: 'omitted'; readonly count: number };

const MOST_PER_SECOND = 200;
const SECOND_MS = 1000;

export class EventSink {
  private since = -Infinity;
  private count = 0;
  private omitted = 0;

  constructor(
    private readonly listener: ((event: NetEvent) => void) | undefined,
    private readonly clock: Clock,
  ) {}

  emit(event: NetEvent): void {
    const { listener } = this;
    if (listener === undefined) return;
    const now = this.clock.now();
    if (now - this.since >= SECOND_MS) {
      if (this.omitted > 0) listener({ type: 'omitted', count: this.omitted });
      this.since = now;
      this.count = 0;
      this.omitted = 0;
    }
    if (++this.count > MOST_PER_SECOND) this.omitted++;
    else listener(event);
  }
}
