/**
 * The state of a network device as one of its threads sees it: what the driver has negotiated and set, the
 * link, the receive filter, the rate limits and the counters. It lies in memory that all threads share.
 */
import { NO_OFFLOADS, type GuestFrame, type NetOffloads } from '../../../net/net-backend.js';
import type { DeviceContext } from '../device.js';
import { FILTER_BYTES, RxFilter } from './net-filter.js';
import type { TxOffloads } from './net-header.js';
import {
  ConfigField,
  Counter,
  GUEST_OFFLOADS,
  HEADER_BYTES,
  LinkStatus,
  MAC_BYTES,
  NetFeature,
  StateField,
} from './net-layout.js';
import { NetLimits, type NetLimitOptions } from './net-limits.js';

/** What the device has moved. */
export interface NetStatistics {
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txDropped: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxDropped: number;
  readonly rxFiltered: number;
}

/** What a device has at power-on and keeps. */
export interface NetIdentity {
  readonly mac: readonly number[];
  readonly pairs: number;
  /** 0 for none. */
  readonly mtu: number;
}

/** The state in one thread. */
export class NetState {
  readonly counters: Float64Array<SharedArrayBuffer>;
  readonly filter: RxFilter;
  readonly limits: NetLimits;
  private readonly view: DataView<SharedArrayBuffer>;
  private readonly head = new Uint8Array(FILTER_BYTES);
  private offloadBits = 0;
  private offloads = NO_OFFLOADS;

  /** @param now milliseconds from a clock that does not go back */
  constructor(
    readonly context: DeviceContext,
    private readonly identity: NetIdentity,
    limits: NetLimitOptions,
    now: () => number,
  ) {
    const { state } = context;
    this.view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    const at = state.byteOffset + StateField.Counters;
    this.counters = new Float64Array(state.buffer, at, Counter.Count);
    this.filter = new RxFilter(state);
    this.limits = new NetLimits(state, now, limits);
    // The first thread finds a block that is all zero.
    if (this.view.getUint16(ConfigField.MaxQueuePairs, true) === 0) this.powerOn();
  }

  private powerOn(): void {
    const { view, identity } = this;
    view.setUint16(ConfigField.Status, LinkStatus.Up, true);
    view.setUint16(ConfigField.MaxQueuePairs, identity.pairs, true);
    view.setUint16(ConfigField.Mtu, identity.mtu, true);
    this.reset();
  }

  /** What the driver has set is forgotten; the link is the host's. */
  reset(): void {
    this.context.state.set(this.identity.mac, ConfigField.Mac);
    this.filter.reset();
    this.view.setUint32(StateField.QueuePairs, 1, true);
    this.view.setUint32(StateField.GuestOffloads, 0, true);
    const status = this.view.getUint16(ConfigField.Status, true);
    this.view.setUint16(ConfigField.Status, status & ~LinkStatus.Announce, true);
  }

  /** The driver takes all that it has negotiated. */
  driverOk(): void {
    const on = GUEST_OFFLOADS.filter((bit) => this.context.hasFeature(bit));
    const bits = on.reduce((sum, bit) => sum + 2 ** bit, 0);
    this.view.setUint32(StateField.GuestOffloads, bits, true);
  }

  /** What the driver takes now. */
  get guestOffloads(): NetOffloads {
    const bits = this.view.getUint32(StateField.GuestOffloads, true);
    if (bits === this.offloadBits) return this.offloads;
    const on = (bit: number): boolean => (bits & (1 << bit)) !== 0;
    this.offloadBits = bits;
    this.offloads = {
      csum: on(NetFeature.GuestCsum),
      tso4: on(NetFeature.GuestTso4),
      tso6: on(NetFeature.GuestTso6),
      ecn: on(NetFeature.GuestEcn),
      ufo: on(NetFeature.GuestUfo),
    };
    return this.offloads;
  }

  /** What the driver may leave to the device. */
  get txOffloads(): TxOffloads {
    const { context } = this;
    return {
      csum: context.hasFeature(NetFeature.Csum),
      tso4: context.hasFeature(NetFeature.HostTso4),
      tso6: context.hasFeature(NetFeature.HostTso6),
      ufo: context.hasFeature(NetFeature.HostUfo),
      ecn: context.hasFeature(NetFeature.HostEcn),
    };
  }

  get mergeable(): boolean {
    return this.context.hasFeature(NetFeature.MergeableBuffers);
  }

  /** Pairs of queues that the driver has taken into use. */
  get pairsInUse(): number {
    const several = this.context.hasFeature(NetFeature.MultiQueue);
    return several ? this.view.getUint32(StateField.QueuePairs, true) : 1;
  }

  set pairsInUse(pairs: number) {
    this.view.setUint32(StateField.QueuePairs, pairs, true);
  }

  get linkUp(): boolean {
    return (this.view.getUint16(ConfigField.Status, true) & LinkStatus.Up) !== 0;
  }

  /** Takes the link up or down. */
  setLink(up: boolean): void {
    this.changeStatus((status) => (up ? status | LinkStatus.Up : status & ~LinkStatus.Up));
    // What comes for a link that is down is thrown away where the queues are served.
    for (let pair = 0; pair < this.identity.pairs; pair++) this.context.processLater(2 * pair, 0);
  }

  /** Asks the driver to announce itself, as after a move to another host (5.1.6.5.4). */
  announce(): void {
    if (!this.context.hasFeature(NetFeature.GuestAnnounce)) return;
    this.changeStatus((status) => status | LinkStatus.Announce);
  }

  private changeStatus(change: (status: number) => number): void {
    this.context.lock();
    const status = this.view.getUint16(ConfigField.Status, true);
    this.view.setUint16(ConfigField.Status, change(status), true);
    this.context.configChanged();
    this.context.unlock();
  }

  /** Whether the driver's filter lets a frame through. */
  wantsFrame({ header, headerLength, payload, payloadStart, payloadLength }: GuestFrame): boolean {
    if (!this.filtering) return true;
    const { head } = this;
    const fromHeader = Math.min(headerLength, FILTER_BYTES);
    for (let i = 0; i < fromHeader; i++) head[i] = header[i]!;
    const rest = Math.min(FILTER_BYTES - fromHeader, payloadLength);
    for (let i = 0; i < rest; i++) head[fromHeader + i] = payload[payloadStart + i]!;
    return this.accepts(fromHeader + rest);
  }

  /**
   * The same for a frame whose first bytes are in an array.
   * @param at where its Ethernet header begins
   * @param bytes length of the frame with its virtio header
   */
  wants(source: Uint8Array, at: number, bytes: number): boolean {
    if (!this.filtering) return true;
    const length = Math.min(bytes - HEADER_BYTES, FILTER_BYTES);
    for (let i = 0; i < length; i++) this.head[i] = source[at + i]!;
    return this.accepts(length);
  }

  private get filtering(): boolean {
    const { context } = this;
    return context.hasFeature(NetFeature.ControlRx) || context.hasFeature(NetFeature.ControlVlan);
  }

  private accepts(length: number): boolean {
    const { head } = this;
    const vlans = this.context.hasFeature(NetFeature.ControlVlan);
    return this.filter.accepts(length === FILTER_BYTES ? head : head.subarray(0, length), vlans);
  }

  /** The address the guest uses now. */
  get address(): string {
    const bytes = Array.from(this.context.state.subarray(ConfigField.Mac, MAC_BYTES));
    return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  }

  get statistics(): NetStatistics {
    const at = (counter: Counter): number => this.counters[counter]!;
    return {
      txPackets: at(Counter.TxPackets),
      txBytes: at(Counter.TxBytes),
      txDropped: at(Counter.TxDropped),
      rxPackets: at(Counter.RxPackets),
      rxBytes: at(Counter.RxBytes),
      rxDropped: at(Counter.RxDropped),
      rxFiltered: at(Counter.RxFiltered),
    };
  }
}
