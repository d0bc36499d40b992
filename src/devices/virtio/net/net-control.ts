/** The control queue: what the driver sets while the device runs (virtio 1.2, 5.1.6.5). */
import type { DeviceContext } from '../device.js';
import type { ReadableSegments } from '../queue/segments.js';
import type { RxFilter } from './net-filter.js';
import {
  ConfigField,
  ControlAck,
  ControlClass,
  GUEST_OFFLOADS,
  LinkStatus,
  MAC_BYTES,
  MAC_TABLE_LIMIT,
  MacCommand,
  NetFeature,
  ONLY_COMMAND,
  RxCommand,
  StateField,
  VlanCommand,
} from './net-layout.js';

/** Carries out control commands. */
export class NetControl {
  private readonly view: DataView<SharedArrayBuffer>;
  private readonly scratch = new Uint8Array(MAC_TABLE_LIMIT * MAC_BYTES);
  private readonly scratchView = new DataView(this.scratch.buffer);

  /**
   * @param queuePairs the most that the device has
   * @param usePairs takes so many into use
   */
  constructor(
    private readonly context: DeviceContext,
    private readonly filter: RxFilter,
    private readonly queuePairs: number,
    private readonly usePairs: (pairs: number) => void,
  ) {
    const { state } = context;
    this.view = new DataView(state.buffer, state.byteOffset, state.byteLength);
  }

  /** Carries out one command; everything in it is the driver's word. */
  run(command: ReadableSegments): ControlAck {
    const { scratch } = this;
    if (command.read(scratch, 0, 2) < 2) return ControlAck.Error;
    const [group, name] = [scratch[0]!, scratch[1]!];
    return this.dispatch(group, name, command) ? ControlAck.Ok : ControlAck.Error;
  }

  private dispatch(group: ControlClass, name: number, data: ReadableSegments): boolean {
    switch (group) {
      case ControlClass.Rx:
        return this.rxMode(name, data);
      case ControlClass.Mac:
        if (name === MacCommand.AddressSet) return this.setAddress(data);
        return name === MacCommand.TableSet && this.setTables(data);
      case ControlClass.Vlan:
        return this.vlan(name, data);
      case ControlClass.Announce:
        return name === ONLY_COMMAND && this.acknowledgeAnnounce();
      case ControlClass.MultiQueue:
        return name === ONLY_COMMAND && this.setQueuePairs(data);
      case ControlClass.GuestOffloads:
        return name === ONLY_COMMAND && this.setOffloads(data);
      default:
        return false;
    }
  }

  private rxMode(name: number, data: ReadableSegments): boolean {
    if (!this.context.hasFeature(NetFeature.ControlRx)) return false;
    if (name > RxCommand.NoBroadcast || data.read(this.scratch, 0, 1) < 1) return false;
    const on = this.scratch[0]!;
    if (on > 1) return false;
    this.filter.setMode(name, on === 1);
    return true;
  }

  private setAddress(data: ReadableSegments): boolean {
    const { scratch, context } = this;
    if (!context.hasFeature(NetFeature.ControlMac)) return false;
    if (data.length !== MAC_BYTES || data.read(scratch, 0, MAC_BYTES) < MAC_BYTES) return false;
    context.state.set(scratch.subarray(0, MAC_BYTES), ConfigField.Mac);
    return true;
  }

  /** Two tables, each with its count; nothing is changed unless both are whole. */
  private setTables(data: ReadableSegments): boolean {
    if (!this.context.hasFeature(NetFeature.ControlRx)) return false;
    const unicast = this.readTable(data);
    if (unicast === undefined) return false;
    const addresses = this.scratch.slice(0, Math.min(unicast, MAC_TABLE_LIMIT) * MAC_BYTES);
    const multicast = this.readTable(data);
    if (multicast === undefined) return false;
    this.filter.setTable('unicast', addresses, unicast);
    this.filter.setTable('multicast', this.scratch, multicast);
    return true;
  }

  /** Reads a table into the scratch space, if it fits there; the count, unless the data is short. */
  private readTable(data: ReadableSegments): number | undefined {
    if (data.read(this.scratch, 0, 4) < 4) return undefined;
    const count = this.scratchView.getUint32(0, true);
    const bytes = count * MAC_BYTES;
    if (bytes > data.length) return undefined;
    const kept = count <= MAC_TABLE_LIMIT ? data.read(this.scratch, 0, bytes) : 0;
    data.skip(bytes - kept);
    return count;
  }

  private vlan(name: number, data: ReadableSegments): boolean {
    if (!this.context.hasFeature(NetFeature.ControlVlan)) return false;
    if (name > VlanCommand.Delete || data.read(this.scratch, 0, 2) < 2) return false;
    const id = this.scratchView.getUint16(0, true);
    if (id > 4095) return false;
    this.filter.setVlan(id, name === VlanCommand.Add);
    return true;
  }

  private acknowledgeAnnounce(): boolean {
    if (!this.context.hasFeature(NetFeature.GuestAnnounce)) return false;
    const status = this.view.getUint16(ConfigField.Status, true);
    if ((status & LinkStatus.Announce) === 0) return false;
    this.view.setUint16(ConfigField.Status, status & ~LinkStatus.Announce, true);
    return true;
  }

  private setQueuePairs(data: ReadableSegments): boolean {
    if (!this.context.hasFeature(NetFeature.MultiQueue)) return false;
    if (data.read(this.scratch, 0, 2) < 2) return false;
    const pairs = this.scratchView.getUint16(0, true);
    if (pairs < 1 || pairs > this.queuePairs) return false;
    this.usePairs(pairs);
    return true;
  }

  private setOffloads(data: ReadableSegments): boolean {
    const { context } = this;
    if (!context.hasFeature(NetFeature.ControlGuestOffloads)) return false;
    if (data.read(this.scratch, 0, 8) < 8) return false;
    const wanted = this.scratchView.getUint32(0, true);
    if (this.scratchView.getUint32(4, true) !== 0) return false;
    const allowed = GUEST_OFFLOADS.filter((bit) => context.hasFeature(bit));
    const mask = allowed.reduce((sum, bit) => sum | (1 << bit), 0);
    if ((wanted & ~mask) !== 0) return false;
    this.view.setUint32(StateField.GuestOffloads, wanted, true);
    return true;
  }
}
