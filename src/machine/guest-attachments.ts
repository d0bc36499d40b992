/** What the default guest's agent sets up of the devices: addresses, name servers, mounts. */
import type { GuestInterface, GuestShare } from '../agent/run-file.js';
import { NetworkAddresses } from '../net/addresses.js';
import { lanAddresses } from '../net/lan/lan-options.js';
import { DEFAULT_NET, DEFAULT_NET6 } from '../net/options.js';
import { Cidr } from '../net/wire/address.js';
import { taggedShares, type DeviceOptions } from './device-options.js';
import type { DeviceSpec, NetSource } from './virtio/device-spec.js';

/** The agent then makes no route: a LAN leads nowhere else. */
const NO_GATEWAY = '0.0.0.0';

/** Records for the run file. */
export interface GuestAttachments {
  readonly interfaces: readonly GuestInterface[];
  readonly nameservers: readonly string[];
  readonly shares: readonly GuestShare[];
}

/** The address that a guest has on a network, and the way out through it; unknown behind a tap. */
function guestInterface(network: NetSource, name: string): GuestInterface | undefined {
  if (network.kind === 'tap') return undefined;
  if (network.kind === 'lan') {
    const { v4 } = lanAddresses(network.lan, network.host);
    return { name, address: `${v4.guest.toString()}/${v4.bits}`, gateway: NO_GATEWAY };
  }
  const { net = DEFAULT_NET, net6 = DEFAULT_NET6 } = network.options;
  const { v4 } = new NetworkAddresses(Cidr.of(net), Cidr.of(net6));
  const gateway = v4.gateway.toString();
  return { name, address: `${v4.guest.toString()}/${v4.bits}`, gateway };
}

/** Name servers: that of a user network knows the names of LANs too, and more. */
function nameservers(
  networks: readonly NetSource[],
  interfaces: readonly (GuestInterface | undefined)[],
): string[] {
  const user = interfaces.flatMap((one, i) =>
    one !== undefined && networks[i]!.kind === 'user' ? [one.gateway] : [],
  );
  if (user.length > 0) return user;
  return networks.flatMap((network) =>
    network.kind === 'lan' ? [lanAddresses(network.lan, network.host).v4.gateway.toString()] : [],
  );
}

/** The attachments of a VM with these options, whose devices have been opened. */
export function guestAttachments(
  options: DeviceOptions,
  devices: readonly DeviceSpec[],
): GuestAttachments {
  const networks = devices.flatMap((spec) => (spec.kind === 'net' ? [spec.network] : []));
  const interfaces = networks.map((network, i) => guestInterface(network, `eth${i}`));
  const shares = taggedShares(options).flatMap((share) => {
    const { tag, guestPath } = share;
    if (guestPath === undefined) return [];
    const readOnly = 'hostPath' in share && share.readOnly === true;
    return [{ tag, path: guestPath, readOnly }];
  });
  return {
    interfaces: interfaces.filter((one) => one !== undefined),
    nameservers: nameservers(networks, interfaces),
    shares,
  };
}
