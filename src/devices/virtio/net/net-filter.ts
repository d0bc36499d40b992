/**
 * Which frames a driver wants to see (virtio 1.2, 5.1.6.5.1 to 5.1.6.5.3), over the device's state.
 *
 * Until the driver has set anything, all that is for its address, and all broadcasts and multicasts
 * come through, as on a card that has just been switched on.
 */
import {
  MAC_BYTES,
  MAC_TABLE_LIMIT,
  RxCommand,
  StateField,
  VLAN_BYTES,
  ConfigField,
} from './net-layout.js';

/** Set in a count when there were more addresses than the table holds. */
const OVERFLOWED = 0xffff_ffff;
/** TPID of an 802.1Q tag. */
const VLAN_TPID = 0x8100;
/** Bytes of a frame that the filter looks at. */
export const FILTER_BYTES = 18;

/** The receive filter of one device. */
export class RxFilter {
  private readonly view: DataView<SharedArrayBuffer>;

  constructor(private readonly state: Uint8Array<SharedArrayBuffer>) {
    this.view = new DataView(state.buffer, state.byteOffset, state.byteLength);
  }

  /** Back to the state after power-on. */
  reset(): void {
    this.state.fill(0, StateField.RxModes, StateField.QueuePairs);
    // No table yet: every multicast is wanted.
    this.view.setUint32(StateField.MulticastCount, OVERFLOWED, true);
  }

  setMode(command: RxCommand, on: boolean): void {
    this.state[StateField.RxModes + command] = on ? 1 : 0;
  }

  private mode(command: RxCommand): boolean {
    return this.state[StateField.RxModes + command] === 1;
  }

  /** Sets a table; what does not fit opens the filter for all of its kind. */
  setTable(kind: 'unicast' | 'multicast', addresses: Uint8Array, count: number): void {
    const [countAt, at] =
      kind === 'unicast'
        ? [StateField.UnicastCount, StateField.Unicast]
        : [StateField.MulticastCount, StateField.Multicast];
    const fits = count <= MAC_TABLE_LIMIT;
    if (fits) this.state.set(addresses.subarray(0, count * MAC_BYTES), at);
    this.view.setUint32(countAt, fits ? count : OVERFLOWED, true);
  }

  setVlan(id: number, wanted: boolean): void {
    const bit = 1 << (id % 8);
    const at = StateField.Vlans + Math.floor((id % (VLAN_BYTES * 8)) / 8);
    this.state[at] = wanted ? this.state[at]! | bit : this.state[at]! & ~bit;
  }

  /**
   * Whether the driver wants a frame.
   * @param frame its first bytes, {@link FILTER_BYTES} of them unless the frame is shorter
   * @param vlans whether CTRL_VLAN has been negotiated
   */
  accepts(frame: Uint8Array, vlans: boolean): boolean {
    if (vlans && frame.length >= FILTER_BYTES && !this.wantsVlan(frame)) return false;
    if (this.mode(RxCommand.Promiscuous)) return true;
    const multicast = (frame[0]! & 1) !== 0;
    if (multicast && isBroadcast(frame)) return !this.mode(RxCommand.NoBroadcast);
    if (multicast) {
      if (this.mode(RxCommand.NoMulticast)) return false;
      if (this.mode(RxCommand.AllMulticast)) return true;
      return this.inTable(frame, StateField.MulticastCount, StateField.Multicast);
    }
    if (this.mode(RxCommand.NoUnicast)) return false;
    if (this.mode(RxCommand.AllUnicast)) return true;
    if (this.matches(frame, ConfigField.Mac)) return true;
    return this.inTable(frame, StateField.UnicastCount, StateField.Unicast);
  }

  private wantsVlan(frame: Uint8Array): boolean {
    if (frame[12]! * 256 + frame[13]! !== VLAN_TPID) return true;
    const id = (frame[14]! * 256 + frame[15]!) % 4096;
    return (this.state[StateField.Vlans + Math.floor(id / 8)]! & (1 << (id % 8))) !== 0;
  }

  private inTable(frame: Uint8Array, countAt: number, at: number): boolean {
    const count = this.view.getUint32(countAt, true);
    if (count > MAC_TABLE_LIMIT) return true;
    for (let i = 0; i < count; i++) if (this.matches(frame, at + i * MAC_BYTES)) return true;
    return false;
  }

  private matches(frame: Uint8Array, at: number): boolean {
    for (let i = 0; i < MAC_BYTES; i++) if (frame[i] !== this.state[at + i]) return false;
    return true;
  }
}

function isBroadcast(frame: Uint8Array): boolean {
  for (let i = 0; i < MAC_BYTES; i++) if (frame[i] !== 0xff) return false;
  return true;
}
