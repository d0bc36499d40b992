/** From the network interfaces of the options to their plain descriptions. */
import { randomBytes } from 'node:crypto';
import type { NetDeviceOptions, NetRateLimit } from '../devices/virtio/net/net-options.js';
import { tryPort } from '../net/host/published-port.js';
import { joinLan, type LanPlace } from '../net/lan/join.js';
import { lanRange } from '../net/lan/lan-options.js';
import { DEFAULT_NET, type UserNetOptions } from '../net/options.js';
import type { Decide } from '../net/policy/gate.js';
import { Cidr } from '../net/wire/address.js';
import { VexitError } from '../util/errors.js';
import { openTap } from '../net/tap/open-tap.js';
import { TAP_OFFLOADS } from '../net/tap/tap-network.js';
import { closeSync } from 'node:fs';
import type {
  LanNetSettings,
  NetSettings,
  TapNetSettings,
  UserNetSettings,
} from './device-options.js';
import { checkInterfaces } from './net-settings.js';
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
  for (const publication of options.publish ?? []) await tryPort(publication);
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

function tapNet(settings: TapNetSettings, undo: { push(close: () => void): unknown }): NetSpec {
  const { mac = randomMac(), mtu, tx, rx } = settings;
  const network = openTap(settings);
  undo.push(() => network.fds.forEach((fd) => closeSync(fd)));
  return {
    kind: 'net',
    options: {
      ...{ mac, offloads: TAP_OFFLOADS, queuePairs: network.fds.length },
      ...(mtu === undefined ? {} : { mtu }),
      ...limits(tx, rx),
    },
    network,
  };
}

/** The addresses of a network; unknown behind a tap. */
function range(network: NetSource): Cidr | undefined {
  if (network.kind === 'tap') return undefined;
  if (network.kind === 'lan') return lanRange(network.lan);
  return Cidr.of(network.options.net ?? DEFAULT_NET);
}

/** A guest could not tell which interface leads to an address that two of them have. */
function refuseOverlap(specs: readonly NetSpec[]): void {
  for (const [i, { network }] of specs.entries()) {
    if (network.kind !== 'lan') continue;
    const lan = lanRange(network.lan);
    for (const [k, { network: other }] of specs.entries()) {
      const second = range(other);
      if (
        i === k ||
        second === undefined ||
        !(lan.contains(second.base) || second.contains(lan.base))
      )
        continue;
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
  checkInterfaces(settings);
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
    } else if (net.kind === 'tap') {
      networks.push({ spec: tapNet(net, undo), decide: undefined });
    } else {
      const { decide, ...options } = net;
      networks.push({ spec: await userNet(options, [...places.values()]), decide });
    }
  }
  refuseOverlap(networks.map(({ spec }) => spec));
  return networks;
}
