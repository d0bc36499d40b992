/** What is wrong with VMs of a project beside each other. */
import fs from 'node:fs';
import path from 'node:path';
import type { Place } from './document.js';
import { orderOf } from './order.js';
import type { Located } from './readers.js';
import { suggest } from './suggestion.js';
import type { VmValues } from './vm-options.js';

/** VMs by their names, with their places. */
export type LocatedVms = ReadonlyMap<string, Located<VmValues>>;

/** Remembers who was first with something, and reports who comes later. */
class Once {
  private readonly seen = new Map<string, Place>();

  /** Returns whether this is the first. */
  take(key: string, at: Place, message: (first: string) => string, hint: string): boolean {
    const first = this.seen.get(key);
    if (first === undefined) this.seen.set(key, at);
    else at.problem(message(`${first.path} (line ${first.line})`), hint);
    return first === undefined;
  }
}

/** Names that are not there, and VMs that would wait for each other. */
export function checkDependencies(vms: LocatedVms): void {
  const names = [...vms.keys()];
  for (const { value } of vms.values()) {
    const seen = new Once();
    for (const { value: dependency, at } of value.dependsOn ?? []) {
      const { vm, condition } = dependency;
      const other = vms.get(vm);
      seen.take(vm, at, (first) => `${vm} is there twice, as ${first}`, 'leave one out');
      if (other === undefined) {
        const near = suggest(vm, names);
        at.problem(
          `there is no VM ${vm}`,
          near === undefined ? `VMs are ${names.join(', ')}` : `did you mean ${near}?`,
        );
      } else if (condition === 'healthy' && !('health' in other.value)) {
        at.problem(`${vm} has no health check`, `add health: to ${vm}, or wait for started`);
      } else if (condition === 'completed' && other.value.restart?.name === 'always') {
        at.problem(`${vm} never ends: its restart is always`, 'write restart: no or on-failure');
      }
    }
  }
  const graph = new Map(
    [...vms].map(([name, { value }]) => [name, (value.dependsOn ?? []).map((one) => one.value.vm)]),
  );
  const result = orderOf(graph);
  if (!('cycle' in result)) return;
  const [first, second] = result.cycle;
  const at = vms.get(first!)!.value.dependsOn!.find((one) => one.value.vm === second)!.at;
  at.problem(
    `VMs wait for each other: ${result.cycle.join(' -> ')}`,
    'leave one of the dependencies out',
  );
}

/** Networks that are not there, are named twice, or have two VMs of one name. */
export function checkNetworks(vms: LocatedVms, networks: ReadonlyMap<string, unknown>): void {
  const names = [...networks.keys()];
  const members = new Once();
  for (const [name, { value }] of vms) {
    const own = new Once();
    const host = (value.hostname ?? name).toLowerCase();
    for (const {
      value: { network },
      at,
    } of value.networks ?? []) {
      if (!networks.has(network)) {
        const near = suggest(network, names);
        const known =
          near === undefined ? `add it to networks: at the top` : `did you mean ${near}?`;
        at.problem(`there is no network ${network}`, known);
      }
      const twice = (first: string): string => `${network} is there twice, as ${first}`;
      if (!own.take(network, at, twice, 'leave one out')) continue;
      members.take(
        `${network}/${host}`,
        at,
        (first) => `a VM with the host name ${host} is on ${network} already, by ${first}`,
        'give each its own',
      );
    }
  }
}

const WILDCARDS = ['0.0.0.0', '::'];

/** Ports of the host that two VMs want. */
export function checkPorts(vms: LocatedVms): void {
  const taken: { readonly port: string; readonly address: string; readonly at: Place }[] = [];
  for (const { value } of vms.values()) {
    for (const {
      value: { hostAddress: address, hostPort, protocol },
      at,
    } of value.publish ?? []) {
      if (hostPort === 0) continue;
      const port = `${hostPort}/${protocol}`;
      const other = taken.find(
        (one) =>
          one.port === port &&
          (one.address === address ||
            [one.address, address].some((any) => WILDCARDS.includes(any))),
      );
      if (other === undefined) taken.push({ port, address, at });
      else {
        at.problem(
          `port ${port} of the host is published by ${other.at.path} (line ${other.at.line}) as well`,
          'publish another one',
        );
      }
    }
  }
}

/** Cards with the same address. */
export function checkCards(vms: LocatedVms): void {
  const cards = new Once();
  for (const { value } of vms.values()) {
    const net = (value.net ?? []).flatMap(({ value: one, at }) =>
      one !== 'none' && 'mac' in one ? [{ mac: one.mac, at }] : [],
    );
    const lans = (value.networks ?? []).flatMap(({ value: { mac }, at }) =>
      mac === undefined ? [] : [{ mac, at: at.at('mac') }],
    );
    for (const { mac, at } of [...net, ...lans]) {
      cards.take(
        mac.toLowerCase(),
        at,
        (first) => `the MAC address ${mac} is that of ${first} as well`,
        'give each its own',
      );
    }
  }
}

/** One file in all its spellings. */
function sameFile(file: string): string {
  try {
    return fs.realpathSync(file);
  } catch {
    return file;
  }
}

/** Files that are not there, and those that one VM writes while another one uses them. */
export function checkFiles(vms: LocatedVms, directory: string): void {
  const used = new Map<string, { readonly writes: boolean; readonly at: Place }>();
  const use = (file: string, writes: boolean, at: Place): void => {
    const key = sameFile(path.resolve(directory, file));
    const other = used.get(key);
    if (other === undefined) used.set(key, { writes, at });
    else if (writes || other.writes) {
      const who = `${other.at.path} (line ${other.at.line})`;
      at.problem(
        `${file} is used by ${who} as well, and not only read`,
        'copy it, or use it with ro or an overlay',
      );
    }
  };
  const exists = (file: string, at: Place): void => {
    if (!fs.existsSync(path.resolve(directory, file))) {
      at.problem(`there is no file ${file}`, `paths are relative to ${directory}`);
    }
  };
  for (const { value, at } of vms.values()) {
    for (const { value: disk, at: place } of value.disks ?? []) {
      exists(disk.path, place);
      use(disk.path, disk.readOnly !== true && disk.overlay === undefined, place);
      if (disk.overlay !== undefined) use(disk.overlay, disk.readOnly !== true, place);
    }
    for (const { value: file, at: place } of value.pmem ?? []) {
      exists(file.path, place);
      use(file.path, !file.readOnly, place);
    }
    const { kernel, firmware, initrd = [] } = value;
    if (kernel !== undefined) exists(kernel, at.at('kernel'));
    if (firmware !== undefined) exists(firmware, at.at('firmware'));
    // A multiboot module may have arguments behind its path.
    for (const file of initrd)
      if (!fs.existsSync(path.resolve(directory, file)))
        exists(file.split(' ')[0]!, at.at('initrd'));
  }
}
