/** The virtio devices of a VM as a library user or the CLI gives them. */
import type { DiskOptions } from '../block/disk-option.js';
import type { ConsolePortOptions } from '../devices/virtio/console/console-options.js';
import type { NetRateLimit } from '../devices/virtio/net/net-options.js';
import type { RateLimit } from '../devices/virtio/index.js';
import { shareTag } from '../fs/share-option.js';
import type { LanNetOptions } from '../net/lan/lan-options.js';
import type { UserNetOptions } from '../net/options.js';
import type { TapNetOptions } from '../net/tap/tap-option.js';
import type { Decide } from '../net/policy/gate.js';
import type { UserModule } from './virtio/device-spec.js';
import type { VsockSettings } from './vsock/vsock-option.js';

/** What a balloon can do; everything unless switched off. */
export interface BalloonSettings {
  readonly statistics?: boolean;
  /** The guest reports pages it has freed, and the host gets them back. */
  readonly freePageReporting?: boolean;
  readonly deflateOnOom?: boolean;
}

/** A disk whose blocks come from a module: its export makes a `BlockBackend`. */
export interface ModuleDisk extends Omit<DiskOptions, 'path' | 'overlay' | 'engine'> {
  readonly backend: UserModule;
}

/** A file that the guest sees as persistent memory (DAX). */
export interface PmemOptions {
  readonly path: string;
  /** Many VMs may share a file that none of them writes. */
  readonly readOnly?: boolean;
}

/** Settings of virtio-console. */
export interface ConsoleSettings {
  /** A terminal of the guest, hvc0, which Linux is told to use; its streams are `vm.console`. */
  readonly console?: boolean;
  /** Ports for programs, by name: `/dev/virtio-ports/<name>` in the guest. */
  readonly ports?: readonly string[];
}

/** What all network interfaces have. */
export interface InterfaceSettings {
  /** Random unless given; on a LAN it follows from the names. */
  readonly mac?: string;
  /** What the guest may send, and what it is sent. */
  readonly tx?: NetRateLimit;
  readonly rx?: NetRateLimit;
}

/** A network interface on a user network: a gateway to the host's sockets, without privileges. */
export interface UserNetSettings extends Omit<UserNetOptions, 'kind'>, InterfaceSettings {
  readonly kind?: 'user';
  /** Asked in your thread about every flow and look-up that the rules let through. */
  readonly decide?: Decide;
}

/** A network interface on a LAN: an Ethernet switch between VMs of this user, by name. */
export interface LanNetSettings extends LanNetOptions, InterfaceSettings {}

/** An interface on a TAP device of the host. */
export interface TapNetSettings extends TapNetOptions, InterfaceSettings {}

/** A network interface. */
export type NetSettings = UserNetSettings | LanNetSettings | TapNetSettings;

/** A directory that the guest sees, or a file system from a module. */
export type ShareSettings = (
  { readonly hostPath: string; readonly readOnly?: boolean } | { readonly fileSystem: UserModule }
) & {
  /** Where the default guest mounts it. */
  readonly guestPath?: string;
  /** By what other guests mount it; default: share0, share1... */
  readonly tag?: string;
};

/** Virtio devices; none unless they are asked for. */
export interface DeviceOptions {
  /** virtio-blk, in this order: vda, vdb... */
  readonly disks?: readonly (DiskOptions | ModuleDisk)[];
  /** virtio-net, in this order: eth0, eth1... */
  readonly net?: boolean | NetSettings | readonly NetSettings[];
  /** virtio-fs. */
  readonly shares?: readonly ShareSettings[];
  /** virtio-pmem, in this order: pmem0, pmem1... */
  readonly pmem?: readonly PmemOptions[];
  /** virtio-console. */
  readonly virtioConsole?: boolean | ConsoleSettings;
  /** virtio-rng: random bytes of the host, with a limit in bytes. */
  readonly rng?: boolean | { readonly limit?: RateLimit };
  /** virtio-balloon: memory that the host can ask back. */
  readonly balloon?: boolean | BalloonSettings;
  /** virtio-vsock: streams between programs of the guest and of the host. */
  readonly vsock?: boolean | VsockSettings;
  /** Virtio devices of your own, see docs/devices/virtio.md. */
  readonly devices?: readonly UserModule[];
}

/** The port of the default guest's agent. */
export const AGENT_PORT_NAME = 'org.vexit.agent';

/** True when the guest's console is hvc0. */
export function hasVirtioConsole({ virtioConsole = false }: DeviceOptions): boolean {
  return virtioConsole === true || (virtioConsole !== false && (virtioConsole.console ?? true));
}

/**
 * The ports that {@link DeviceOptions.virtioConsole} stands for; undefined for no device.
 * @param agentPort whether the agent of the default guest has one
 */
export function consolePorts(
  options: DeviceOptions,
  agentPort: boolean,
): ConsolePortOptions[] | undefined {
  const { virtioConsole = false } = options;
  if (virtioConsole === false && !agentPort) return undefined;
  const names = typeof virtioConsole === 'object' ? (virtioConsole.ports ?? []) : [];
  const named = [...(agentPort ? [AGENT_PORT_NAME] : []), ...names].map((name) => ({ name }));
  // Port 0 is a console to a driver that knows no ports, so it is one or has no name.
  return [hasVirtioConsole(options) ? { isConsole: true } : {}, ...named];
}

/** The interfaces that {@link DeviceOptions.net} stands for. */
export function netSettings({ net }: DeviceOptions): readonly NetSettings[] {
  if (net === undefined || net === false) return [];
  if (net === true) return [{}];
  return isList(net) ? net : [net];
}

function isList(net: NetSettings | readonly NetSettings[]): net is readonly NetSettings[] {
  return Array.isArray(net);
}

/** The shares with their tags. */
export function taggedShares({ shares = [] }: DeviceOptions): (ShareSettings & { tag: string })[] {
  return shares.map((share, i) => ({ ...share, tag: share.tag ?? shareTag(i) }));
}
