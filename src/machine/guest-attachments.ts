/** What the default guest's agent sets up of the devices: addresses, name servers, mounts. */
import type { GuestInterface, GuestShare } from '../agent/run-file.js';
import { NetworkAddresses } from '../net/addresses.js';
import { DEFAULT_NET, DEFAULT_NET6 } from '../net/options.js';
import { Cidr } from '../net/wire/address.js';
import { netSettings, taggedShares, type DeviceOptions } from './device-options.js';

/** Records for the run file. */
export interface GuestAttachments {
  readonly interfaces: readonly GuestInterface[];
  readonly nameservers: readonly string[];
  readonly shares: readonly GuestShare[];
}

/** The attachments of a VM with these devices; checked before. */
export function guestAttachments(options: DeviceOptions): GuestAttachments {
  const networks = netSettings(options).map(({ net = DEFAULT_NET, net6 = DEFAULT_NET6 }, i) => {
    const { v4 } = new NetworkAddresses(Cidr.of(net), Cidr.of(net6));
    const gateway = v4.gateway.toString();
    return { name: `eth${i}`, address: `${v4.guest.toString()}/${v4.bits}`, gateway };
  });
  const shares = taggedShares(options).flatMap((share) => {
    const { tag, guestPath } = share;
    if (guestPath === undefined) return [];
    const readOnly = 'hostPath' in share && share.readOnly === true;
    return [{ tag, path: guestPath, readOnly }];
  });
  return { interfaces: networks, nameservers: networks.map(({ gateway }) => gateway), shares };
}
