/**
 * The network device (virtio 1.2, 5.1): frames between the guest's queues and a {@link NetBackend}.
 *
 * Payloads are copied once, by the backend out of the guest's buffers or by the receiver into them.
 * A backend is used in one thread: each pair of queues has its own, and is a group of queues. Threads
 * that only see registers have none.
 */
import {
  GsoType,
  plainMeta,
  type GuestFrame,
  type GuestPort,
  NO_OFFLOADS,
  type NetBackend,
  type NetOffloads,
} from '../../../net/net-backend.js';
import { isKernelNetwork, type AnyNetwork } from '../../../net/kernel-network.js';
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { ChainFrame } from './chain-frame.js';
import { KeptFrames } from './kept-frames.js';
import { KernelPair, type PairDevice } from './kernel-pair.js';
import { NetControl } from './net-control.js';
import { FILTER_BYTES, RxFilter } from './net-filter.js';
import { readHeader, type TxOffloads } from './net-header.js';
import {
  CONFIG_BYTES,
  ConfigField,
  Counter,
  HEADER_BYTES,
  LinkStatus,
  MAC_BYTES,
  NetFeature,
  StateField,
} from './net-layout.js';
import { Direction, NetLimits, type NetLimitOptions } from './net-limits.js';
import { FEATURE_RULES, offeredFeatures, parseMac, type NetDeviceOptions } from './net-options.js';
import { Delivery, NetReceiver } from './net-receiver.js';

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

const QUEUE_SIZE = 256;
const CONTROL_QUEUE_SIZE = 64;
/** What the driver can take, from the beginning and by the control queue. */
const GUEST_OFFLOADS = [
  NetFeature.GuestCsum,
  NetFeature.GuestTso4,
  NetFeature.GuestTso6,
  NetFeature.GuestEcn,
  NetFeature.GuestUfo,
];
/** Ethernet header with a tag, before the packet that the MTU counts. */
const LINK_BYTES = 18;

/** One pair of queues, as its backend sees it. */
class Port implements GuestPort {
  constructor(
    private readonly device: NetDevice,
    readonly pair: number,
  ) {}

  get offloads(): NetOffloads {
    return this.device.guestOffloads;
  }

  receive(frame: GuestFrame): boolean {
    return this.device.receive(this.pair, frame);
  }

  resumeTransmit(): void {
    this.device.resumeTransmit(this.pair);
  }
}

/** virtio-net. */
export class NetDevice implements VirtioDevice {
  readonly type = DeviceType.Network;
  readonly name = 'net';
  readonly features: readonly number[];
  readonly featureRules = FEATURE_RULES;
  readonly queueSizes: readonly number[];
  readonly queueGroups: readonly number[];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes = StateField.Bytes;

  private readonly pairs: number;
  private readonly mac: number[];
  private context!: DeviceContext;
  private view!: DataView<SharedArrayBuffer>;
  private counters!: Float64Array<SharedArrayBuffer>;
  private filter!: RxFilter;
  private control!: NetControl;
  private receiver!: NetReceiver;
  private chain!: DescriptorChain;
  private readonly frame = new ChainFrame();
  private readonly meta = plainMeta();
  private readonly header = new Uint8Array(HEADER_BYTES);
  private readonly headerView = new DataView(this.header.buffer);
  private readonly head = new Uint8Array(FILTER_BYTES);
  private readonly ack = new Uint8Array(1);
  private limits!: NetLimits;
  /** By pair: what hands frames over one by one, or what reads and writes guest memory. */
  private readonly backends: (NetBackend | undefined)[];
  private kernelPairs: (KernelPair | undefined)[] = [];
  private held = false;
  private offloadBits = 0;
  private offloads = NO_OFFLOADS;
  /** The receive queue whose turn it is, if one has its turn. */
  private turn: VirtQueue | undefined;
  private sending = false;
  /** Pairs whose backends have been told in a turn that there is no room. */
  private readonly refused = new Set<number>();
  /** Pairs that get a turn after the one that goes on: frames were kept for them, or refused. */
  private readonly answered = new Set<number>();
  private settling = false;
  private readonly roomTurn = (queue: VirtQueue): void => this.offerRoom(queue);
  private readonly kept = new KeptFrames();

  /**
   * @param backends of the pairs that this thread serves
   * @param now milliseconds from a clock that does not go back, for the rate limits
   * @throws RangeError for settings that make no sense
   */
  constructor(
    private readonly options: NetDeviceOptions,
    private readonly networks: readonly (AnyNetwork | undefined)[] = [],
    private readonly now: () => number = () => performance.now(),
  ) {
    const mac = parseMac(options.mac);
    if (mac === undefined) throw new RangeError(`${options.mac} is not a unicast MAC address`);
    this.mac = mac;
    this.pairs = options.queuePairs ?? 1;
    this.features = offeredFeatures(options);
    this.backends = networks.map((network) =>
      network === undefined || isKernelNetwork(network) ? undefined : network,
    );
    const queues = Array.from({ length: 2 * this.pairs }, () => QUEUE_SIZE);
    this.queueSizes = [...queues, CONTROL_QUEUE_SIZE];
    this.queueGroups = [...queues.map((_, i) => Math.floor(i / 2)), 0];
  }

  attach(context: DeviceContext): void {
    const { state } = context;
    this.context = context;
    this.view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    const at = state.byteOffset + StateField.Counters;
    this.counters = new Float64Array(state.buffer, at, Counter.Count);
    this.filter = new RxFilter(state);
    this.control = new NetControl(context, this.filter, this.pairs, (pairs) =>
      this.setPairs(pairs),
    );
    this.chain = context.createChain();
    this.receiver = new NetReceiver(context, 0);
    this.limits = new NetLimits(state, this.now, this.options);
    // The first thread finds a block that is all zero.
    if (this.view.getUint16(ConfigField.MaxQueuePairs, true) === 0) this.powerOn();
    this.backends.forEach((backend, pair) => backend?.attach(new Port(this, pair)));
    this.kernelPairs = this.networks.map((network, pair) =>
      network !== undefined && isKernelNetwork(network)
        ? new KernelPair(this.pairDevice(), network, pair)
        : undefined,
    );
  }

  private pairDevice(): PairDevice {
    const { context, counters, limits } = this;
    const linkUp = (): boolean => this.linkUp;
    const guestOffloads = (): NetOffloads => this.guestOffloads;
    const txOffloads = (): TxOffloads => this.txOffloads;
    const pairsInUse = (): number => this.pairsInUse;
    return {
      ...{ context, counters, limits },
      get linkUp() {
        return linkUp();
      },
      get guestOffloads() {
        return guestOffloads();
      },
      get txOffloads() {
        return txOffloads();
      },
      get pairsInUse() {
        return pairsInUse();
      },
      wants: (head, at, bytes) => this.wants(head, at, bytes),
      setLink: (up) => this.setLink(up),
    };
  }

  private powerOn(): void {
    const { view } = this;
    view.setUint16(ConfigField.Status, LinkStatus.Up, true);
    view.setUint16(ConfigField.MaxQueuePairs, this.pairs, true);
    view.setUint16(ConfigField.Mtu, this.options.mtu ?? 0, true);
    this.reset();
  }

  /** What the driver has set is forgotten; the link is the host's. */
  reset(): void {
    this.context.state.set(this.mac, ConfigField.Mac);
    this.filter.reset();
    this.view.setUint32(StateField.QueuePairs, 1, true);
    this.view.setUint32(StateField.GuestOffloads, 0, true);
    const status = this.view.getUint16(ConfigField.Status, true);
    this.view.setUint16(ConfigField.Status, status & ~LinkStatus.Announce, true);
  }

  driverOk(): void {
    const on = GUEST_OFFLOADS.filter((bit) => this.context.hasFeature(bit));
    const bits = on.reduce((sum, bit) => sum + 2 ** bit, 0);
    this.view.setUint32(StateField.GuestOffloads, bits, true);
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.context.state, offset, size);
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

  process(queue: VirtQueue): void {
    const { index } = queue;
    if (index === this.controlIndex) this.serveControl(queue);
    else if (index >= 2 * this.pairsInUse) return;
    else if (index % 2 === 1) this.send(queue);
    else this.offerRoom(queue);
  }

  /** The control queue follows the last pair, and there is one pair without MQ (5.1.2). */
  private get controlIndex(): number {
    if (!this.context.hasFeature(NetFeature.ControlQueue)) return -1;
    return this.context.hasFeature(NetFeature.MultiQueue) ? 2 * this.pairs : 2;
  }

  private get pairsInUse(): number {
    const several = this.context.hasFeature(NetFeature.MultiQueue);
    return several ? this.view.getUint32(StateField.QueuePairs, true) : 1;
  }

  /** A pair comes into use after its network has been attached, and goes out of use before. */
  private setPairs(pairs: number): void {
    const [first] = this.kernelPairs;
    const before = this.view.getUint32(StateField.QueuePairs, true);
    if (pairs > before) first?.usePairs(pairs);
    this.view.setUint32(StateField.QueuePairs, pairs, true);
    if (pairs < before) first?.usePairs(pairs);
    // Buffers that were offered before there was a use for them.
    for (let pair = before; pair < pairs; pair++) {
      this.context.processLater(2 * pair, 0);
      this.context.processLater(2 * pair + 1, 0);
    }
  }

  private serveControl(queue: VirtQueue): void {
    const { chain } = this;
    while (queue.pop(chain)) {
      // Without room for the answer nothing is done: the driver could not know that it was.
      if (chain.writable.length < 1) {
        queue.push(chain.token, 0);
        continue;
      }
      this.ack[0] = this.control.run(chain.readable);
      queue.push(chain.token, chain.writable.write(this.ack));
    }
  }

  private get txOffloads(): TxOffloads {
    const { context } = this;
    return {
      csum: context.hasFeature(NetFeature.Csum),
      tso4: context.hasFeature(NetFeature.HostTso4),
      tso6: context.hasFeature(NetFeature.HostTso6),
      ufo: context.hasFeature(NetFeature.HostUfo),
      ecn: context.hasFeature(NetFeature.HostEcn),
    };
  }

  private send(queue: VirtQueue): void {
    const { chain } = this;
    const pair = (queue.index - 1) / 2;
    const backend = this.backends[pair];
    if (backend === undefined) {
      this.kernelPairs[pair]?.send(queue);
      return;
    }
    const offloads = this.txOffloads;
    this.sending = true;
    try {
      while (backend.busy !== true && queue.pop(chain)) {
        const { length } = chain.readable;
        const wait = this.limits.delay(Direction.Tx, length);
        if (wait > 0) {
          queue.unpop(chain);
          this.context.processLater(queue.index, wait);
          break;
        }
        this.limits.charge(Direction.Tx, length);
        this.sendOne(backend, offloads);
        queue.push(chain.token, 0);
      }
      backend.flush();
    } finally {
      this.sending = false;
    }
  }

  afterTurn(): void {
    if (this.settling || this.answered.size === 0) return;
    this.settling = true;
    this.refused.clear();
    try {
      for (const pair of this.answered) this.context.runQueue(2 * pair, this.roomTurn);
      this.answered.clear();
    } finally {
      this.settling = false;
    }
  }

  private sendOne(backend: NetBackend, offloads: TxOffloads): void {
    const { chain, header, counters } = this;
    const { readable } = chain;
    const whole = readable.read(header) === HEADER_BYTES;
    const { length } = readable;
    if (!whole || !readHeader(this.headerView, length, offloads, this.meta) || !this.linkUp) {
      counters[Counter.TxDropped]!++;
      return;
    }
    if (this.meta.gsoType === GsoType.None && length > backend.mtu + LINK_BYTES) {
      counters[Counter.TxDropped]!++;
      return;
    }
    this.frame.set(readable);
    backend.transmit(this.frame, this.meta);
    counters[Counter.TxPackets]!++;
    counters[Counter.TxBytes]! += length;
  }

  private offerRoom(queue: VirtQueue): void {
    this.kernelPairs[queue.index / 2]?.fill(queue);
    const pair = queue.index / 2;
    this.turn = queue;
    try {
      if (this.kept.deliver(pair, queue.epoch, (frame) => this.deliver(pair, frame))) {
        this.backends[pair]?.onRoom();
      }
    } finally {
      this.turn = undefined;
    }
  }

  /** The backend of a pair takes frames again. */
  resumeTransmit(pair: number): void {
    this.context.processLater(2 * pair + 1, 0);
  }

  private get linkUp(): boolean {
    return (this.view.getUint16(ConfigField.Status, true) & LinkStatus.Up) !== 0;
  }

  /** A frame for the guest from the backend of a pair; false when there is no buffer for it now. */
  receive(pair: number, frame: GuestFrame): boolean {
    if (this.held) return false;
    if (!this.linkUp || pair >= this.pairsInUse) return this.count(Counter.RxDropped);
    if (!this.wanted(frame)) return this.count(Counter.RxFiltered);
    // A turn of the transmit queue is going on: no other can begin.
    if (this.sending) return this.keep(pair, frame);
    return !this.kept.has(pair) && this.deliver(pair, frame);
  }

  private keep(pair: number, frame: GuestFrame): boolean {
    this.answered.add(pair);
    if (!this.refused.has(pair) && this.kept.keep(pair, frame)) return true;
    this.refused.add(pair);
    return false;
  }

  private deliver(pair: number, frame: GuestFrame): boolean {
    const length = frame.headerLength + frame.payloadLength;
    const wait = this.limits.delay(Direction.Rx, length);
    if (wait > 0) {
      this.context.processLater(2 * pair, wait);
      return false;
    }
    let result = Delivery.NoRoom;
    const mergeable = this.context.hasFeature(NetFeature.MergeableBuffers);
    if (this.turn?.index === 2 * pair) {
      result = this.receiver.deliver(this.turn, frame, mergeable);
    } else {
      this.context.runQueue(2 * pair, (queue) => {
        result = this.receiver.deliver(queue, frame, mergeable);
      });
    }
    if (result === Delivery.NoRoom) return false;
    this.limits.charge(Direction.Rx, length);
    if (result === Delivery.Dropped) return this.count(Counter.RxDropped);
    this.counters[Counter.RxPackets]!++;
    this.counters[Counter.RxBytes]! += length;
    return true;
  }

  private count(counter: Counter): true {
    this.counters[counter]!++;
    return true;
  }

  private wanted(frame: GuestFrame): boolean {
    const { head, context } = this;
    if (!context.hasFeature(NetFeature.ControlRx) && !context.hasFeature(NetFeature.ControlVlan)) {
      return true;
    }
    const fromHeader = Math.min(frame.headerLength, FILTER_BYTES);
    for (let i = 0; i < fromHeader; i++) head[i] = frame.header[i]!;
    const rest = Math.min(FILTER_BYTES - fromHeader, frame.payloadLength);
    for (let i = 0; i < rest; i++) head[fromHeader + i] = frame.payload[frame.payloadStart + i]!;
    const bytes = head.subarray(0, fromHeader + rest);
    return this.filter.accepts(bytes, context.hasFeature(NetFeature.ControlVlan));
  }

  /** The same for a frame whose first bytes are in an array. */
  private wants(source: Uint8Array, at: number, bytes: number): boolean {
    const { head, context } = this;
    if (!context.hasFeature(NetFeature.ControlRx) && !context.hasFeature(NetFeature.ControlVlan)) {
      return true;
    }
    const length = Math.min(bytes - HEADER_BYTES, FILTER_BYTES);
    for (let i = 0; i < length; i++) head[i] = source[at + i]!;
    const vlans = context.hasFeature(NetFeature.ControlVlan);
    return this.filter.accepts(length === FILTER_BYTES ? head : head.subarray(0, length), vlans);
  }

  /** Host side: takes the link up or down. */
  setLink(up: boolean): void {
    this.changeStatus((status) => (up ? status | LinkStatus.Up : status & ~LinkStatus.Up));
    // What comes for a link that is down is thrown away where the queues are served.
    for (let pair = 0; pair < this.pairs; pair++) this.context.processLater(2 * pair, 0);
  }

  /** Host side: limits from now on, in this thread. @throws RangeError when they make no sense */
  setRateLimits(limits: NetLimitOptions): void {
    this.limits.set(limits);
    for (let queue = 0; queue < 2 * this.pairs; queue++) this.context.processLater(queue, 0);
  }

  /** Host side: asks the driver to announce itself, as after a move to another host (5.1.6.5.4). */
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

  /** Frames wait at the host until {@link release}. */
  hold(): Promise<void> {
    this.held = true;
    for (const pair of this.kernelPairs) pair?.hold();
    return Promise.resolve();
  }

  release(): void {
    this.held = false;
    for (const pair of this.kernelPairs) pair?.release();
  }

  async close(): Promise<void> {
    await Promise.all(this.networks.map(async (network) => network?.close()));
  }
}
