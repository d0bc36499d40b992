/**
 * The network device (virtio 1.2, 5.1): pairs of queues, each with its network, and the control queue.
 *
 * A network is used in one thread: each pair has its own, and is a group of queues. Threads that only see
 * registers have none.
 */
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
import { BackendPair, TransmitTurns } from './backend-pair.js';
import { KernelPair } from './kernel-pair.js';
import { NetControl } from './net-control.js';
import { CONFIG_BYTES, NetFeature, StateField } from './net-layout.js';
import type { NetLimitOptions } from './net-limits.js';
import { FEATURE_RULES, offeredFeatures, parseMac, type NetDeviceOptions } from './net-options.js';
import { NetState, type NetIdentity, type NetStatistics } from './net-state.js';
import type { QueuePair } from './queue-pair.js';

const QUEUE_SIZE = 256;
const CONTROL_QUEUE_SIZE = 64;

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

  private readonly identity: NetIdentity;
  private context!: DeviceContext;
  private state!: NetState;
  private control!: NetControl;
  private chain!: DescriptorChain;
  private readonly ack = new Uint8Array(1);
  private readonly turns = new TransmitTurns();
  /** Those that this thread serves. */
  private pairs: (QueuePair | undefined)[] = [];

  /**
   * @param networks of the pairs that this thread serves
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
    const { queuePairs = 1, mtu = 0 } = options;
    this.identity = { mac, pairs: queuePairs, mtu };
    this.features = offeredFeatures(options);
    const queues = Array.from({ length: 2 * queuePairs }, () => QUEUE_SIZE);
    this.queueSizes = [...queues, CONTROL_QUEUE_SIZE];
    this.queueGroups = [...queues.map((_, i) => Math.floor(i / 2)), 0];
  }

  attach(context: DeviceContext): void {
    const state = new NetState(context, this.identity, this.options, this.now);
    this.context = context;
    this.state = state;
    this.control = new NetControl(context, state.filter, this.identity.pairs, (pairs) =>
      this.setPairs(pairs),
    );
    this.chain = context.createChain();
    this.pairs = this.networks.map((network, pair) => {
      if (network === undefined) return undefined;
      return isKernelNetwork(network)
        ? new KernelPair(state, network, pair)
        : new BackendPair(state, this.turns, network, pair);
    });
  }

  reset(): void {
    this.state.reset();
  }

  driverOk(): void {
    this.state.driverOk();
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.context.state, offset, size);
  }

  process(queue: VirtQueue): void {
    const { index } = queue;
    if (index === this.controlIndex) this.serveControl(queue);
    else if (index >= 2 * this.state.pairsInUse) return;
    else if (index % 2 === 1) this.pairs[(index - 1) / 2]?.send(queue);
    else this.pairs[index / 2]?.fill(queue);
  }

  afterTurn(): void {
    this.turns.settle();
  }

  /** The control queue follows the last pair, and there is one pair without MQ (5.1.2). */
  private get controlIndex(): number {
    if (!this.context.hasFeature(NetFeature.ControlQueue)) return -1;
    return this.context.hasFeature(NetFeature.MultiQueue) ? 2 * this.identity.pairs : 2;
  }

  /** A pair comes into use after its network has been attached, and goes out of use before. */
  private setPairs(pairs: number): void {
    const { context, state } = this;
    const [first] = this.pairs;
    const before = state.pairsInUse;
    if (pairs > before) first?.usePairs?.(pairs);
    state.pairsInUse = pairs;
    if (pairs < before) first?.usePairs?.(pairs);
    // Buffers that were offered before there was a use for them.
    for (let pair = before; pair < pairs; pair++) {
      context.processLater(2 * pair, 0);
      context.processLater(2 * pair + 1, 0);
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

  /** Host side: takes the link up or down. */
  setLink(up: boolean): void {
    this.state.setLink(up);
  }

  /** Host side: limits from now on, in this thread. @throws RangeError when they make no sense */
  setRateLimits(limits: NetLimitOptions): void {
    this.state.limits.set(limits);
    const queues = 2 * this.identity.pairs;
    for (let queue = 0; queue < queues; queue++) this.context.processLater(queue, 0);
  }

  /** Host side: asks the driver to announce itself, as after a move to another host (5.1.6.5.4). */
  announce(): void {
    this.state.announce();
  }

  /** The address the guest uses now. */
  get address(): string {
    return this.state.address;
  }

  get statistics(): NetStatistics {
    return this.state.statistics;
  }

  /** Frames wait at the host until {@link release}. */
  hold(): Promise<void> {
    for (const pair of this.pairs) pair?.hold();
    return Promise.resolve();
  }

  release(): void {
    for (const pair of this.pairs) pair?.release();
  }

  async close(): Promise<void> {
    await Promise.all(this.networks.map(async (network) => network?.close()));
  }
}
