/** Which station has which address, from what the guest says. Bounded: the longest silent goes. */
import type { IpAddress } from './wire/address.js';
import type { MacAddress } from './wire/mac.js';

const MOST = 256;

export class Neighbors {
  private readonly stations = new Map<string, MacAddress>();
  private last: MacAddress | undefined;
  private lastAddress: IpAddress | undefined;

  get size(): number {
    return this.stations.size;
  }

  learn(address: IpAddress, mac: MacAddress): void {
    const { last, lastAddress } = this;
    if (lastAddress?.equals(address) === true && last?.low === mac.low && last.high === mac.high)
      return;
    this.last = mac;
    this.lastAddress = address;
    const key = address.toString();
    this.stations.delete(key);
    this.stations.set(key, mac);
    if (this.stations.size > MOST) {
      const [first] = this.stations.keys();
      this.stations.delete(first!);
    }
  }

  find(address: IpAddress): MacAddress | undefined {
    return this.stations.get(address.toString());
  }

  clear(): void {
    this.stations.clear();
    this.last = undefined;
    this.lastAddress = undefined;
  }
}
