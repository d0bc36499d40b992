/** From the network interfaces of the options to their plain descriptions. */
import { randomBytes } from 'node:crypto';
import {
  parseMac,
  type NetDeviceOptions,
  type NetRateLimit,
} from '../devices/virtio/net/net-options.js';
import { tryPort } from '../net/host/published-port.js';
import { joinLan, type LanPlace } from '../net/lan/join.js';
import { lanRange } from '../net/lan/lan-options.js';
import { checkNetOptions, DEFAULT_NET, type UserNetOptions } from '../net/options.js';
import type { Decide } from '../net/policy/gate.js';
import { Cidr } from '../net/wire/address.js';
import { VexitError } from '../util/errors.js';
import type { LanNetSettings, NetSettings, UserNetSettings } from './device-options.js';
import type { DeviceSpec, NetSource } from './virtio/device-spec.js';

type NetSpec = Extract<DeviceSpec, { kind: 'net' }>;

/** What all networks take of a guest. */
const OFFLOADS = { csum: true, tso4: true, tso6: true };

function limits(
  tx: NetRateLimit | undefined,
  rx: NetRateLimit | undefined,
): Pick<NetDeviceOptions, 'tx' | 'rx'> {
  return { ...(tx === undefined ? {} : { tx }), ...(rx === undefined ? {} : { rx }) };
}

/** A locally administered address of QEMU's and KVM's range. */
function randomMac(): string {
  const tail = Array.from(randomBytes(3), (byte) => byte.toString(16).padStart(2, '0'));
  return ['52', '54', '00', ...tail].join(':');
}

async function userNet(
  settings: Omit<UserNetSettings, 'decide'>,
  lans: readonly LanPlace[],
): Promise<NetSpec> {
  const { mac, tx, rx, ...rest } = settings;
  const options: UserNetOptions = { ...rest, kind: 'user' };
  checkNetOptions(options);
  for (const publication of options.publish ?? []) await tryPort(publication);
  if (mac !== undefined && parseMac(mac) === undefined) {
    throw new VexitError(
      'ERR_CONFIG',
      `${mac} is not a unicast MAC address`,
      'write it as 52:54:00:12:34:56',
    );
  }
  return {
    kind: 'net',
    options: {
      mac: mac ?? randomMac(),
      offloads: OFFLOADS,
      ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
      ...limits(tx, rx),
    },
    network: {
      kind: 'user',
      options,
      lans: lans.map(({ lan, directory }) => ({ lan, directory })),
    },
  };
}

function lanNet(settings: LanNetSettings, place: LanPlace): NetSpec {
  const { mac, mtu } = place;
  const options = { mac, mtu, offloads: OFFLOADS, ...limits(settings.tx, settings.rx) };
  return { kind: 'net', options, network: place };
}

function range(network: NetSource): Cidr {
  if (network.kind === 'lan') return lanRange(network.lan);
  return Cidr.of(network.options.net ?? DEFAULT_NET);
}

/** A guest could not tell which interface leads to an address that two of them have. */
function refuseOverlap(specs: readonly NetSpec[]): void {
  for (const [i, { network }] of specs.entries()) {
    if (network.kind !== 'lan') continue;
    const lan = range(network);
    for (const [k, { network: other }] of specs.entries()) {
      const [first, second] = [lan, range(other)];
      if (i === k || !(first.contains(second.base) || second.contains(first.base))) continue;
      throw new VexitError(
        'ERR_CONFIG',
        `LAN ${network.lan} has addresses of ${lan.toString()}, as another network of this VM`,
        'give the other network other addresses, or the LAN another name',
      );
    }
  }
}

/** A network that has been opened. */
export interface OpenNetwork {
  readonly spec: NetSpec;
  /** The program's word on its flows. */
  readonly decide: Decide | undefined;
}

/**
 * Opens networks, in the order of the interfaces.
 * @param name the VM's, if it was given one
 * @param undo takes what leaves a LAN again
 * @throws VexitError ERR_CONFIG
 */
export async function openNetworks(
  settings: readonly NetSettings[],
  name: string | undefined,
  undo: { push(leave: () => void): unknown },
): Promise<OpenNetwork[]> {
  const places = new Map<NetSettings, LanPlace>();
  for (const net of settings) {
    if (net.kind !== 'lan') continue;
    const { place, leave } = await joinLan(net, name, net.mac);
    undo.push(leave);
    places.set(net, place);
  }
  const networks: OpenNetwork[] = [];
  for (const net of settings) {
    if (net.kind === 'lan') {
      networks.push({ spec: lanNet(net, places.get(net)!), decide: undefined });
    } else {
      const { decide, ...options } = net;
      networks.push({ spec: await userNet(options, [...places.values()]), decide });
    }
  }
  refuseOverlap(networks.map(({ spec }) => spec));
  return networks;
}
