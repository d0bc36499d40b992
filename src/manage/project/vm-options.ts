/** From the keys of a VM in a project's file to the library's options. */
import type { CommandOptions, VirtualMachineOptions } from '../../machine/config.js';
import type { NetSettings } from '../../machine/device-options.js';
import type { Place } from './document.js';
import { lanName } from './names.js';
import type { Values } from './object-readers.js';
import { present, type VM_FIELDS } from './vm-fields.js';

/** The keys of a VM, as far as they could be read. */
export type VmValues = Values<typeof VM_FIELDS>;

/** Of a command's terminal that nobody looks at. */
const TERMINAL = { rows: 24, cols: 80 } as const;

/** A network of the project. */
export interface ProjectNetwork {
  /** Of the host's, instead of one that is the project's own. */
  readonly lan?: string;
  readonly mtu?: number;
}

/** Where a VM is read. */
export interface VmContext {
  readonly project: string;
  readonly directory: string;
  /** The name in the file. */
  readonly name: string;
  /** The VM in the file. */
  readonly at: Place;
  readonly networks: ReadonlyMap<string, ProjectNetwork>;
}

function command(values: VmValues, at: Place): CommandOptions | undefined {
  const { command: argv, env, workdir: cwd, user, tty } = values;
  if (argv !== undefined) {
    const terminal = tty === true ? TERMINAL : undefined;
    return { argv, ...present({ env, cwd, user, tty: terminal }) };
  }
  if ('command' in values) return undefined; // and that was reported
  for (const key of ['env', 'workdir', 'user', 'tty'] as const) {
    if (values[key] === undefined) continue;
    at.at(key).problem(`${key} is about a command, and there is none`, 'add command: ...');
  }
  return undefined;
}

/** The interfaces that the keys `net` and those about user networks stand for. */
function interfaces(values: VmValues, at: Place): NetSettings[] | undefined {
  const { net, publish, allowNet, denyNet, pcap } = values;
  const extra = present({
    publish: publish?.map(({ value }) => value),
    allow: allowNet?.flat(),
    deny: denyNet?.flat(),
    pcap,
  });
  const about = (['publish', 'allowNet', 'denyNet', 'pcap'] as const).find(
    (key) => values[key] !== undefined,
  );
  if (net === undefined && about === undefined) {
    const isDefaultGuest = values.kernel === undefined && values.firmware === undefined;
    return isDefaultGuest ? [{ kind: 'user' }] : undefined;
  }
  const asked: NetSettings[] = [];
  for (const { value, at: place } of net ?? []) {
    if (value !== 'none') asked.push(value);
    else if (net!.length > 1) place.problem('none goes with no other network', 'leave one out');
  }
  if (net === undefined) asked.push({ kind: 'user' });
  if (about === undefined) return asked;
  const first = asked.findIndex(({ kind }) => kind === 'user');
  if (first < 0) {
    at.at(about).problem(`${about} is about a user network, and there is none`, 'add user to net');
  }
  return asked.map((one, i) => (i === first ? { ...one, ...extra } : one));
}

/** The interfaces on networks of the project. */
function members(values: VmValues, { networks, project }: VmContext): NetSettings[] {
  return (values.networks ?? []).flatMap(({ value: { network, mac } }): NetSettings[] => {
    const settings = networks.get(network);
    if (settings === undefined) return []; // reported with the other names
    const { lan = lanName(project, network), mtu } = settings;
    return [{ kind: 'lan', lan, ...present({ mtu, mac }) }];
  });
}

/** The options; what makes no sense is reported. */
export function vmOptions(values: VmValues, context: VmContext): VirtualMachineOptions {
  const { at, name, directory } = context;
  const user = interfaces(values, at);
  const lans = members(values, context);
  const shares = values.shares?.map(({ value, at: place }) =>
    place.attempt(() => value.share(directory)),
  );
  return present({
    ...{
      kernel: values.kernel,
      firmware: values.firmware,
      initrd: values.initrd,
      guest: values.guest,
    },
    ...{ cmdline: values.cmdline, append: values.append, bootProtocol: values.bootProtocol },
    ...{
      flatAddress: values.flatAddress,
      cpus: values.cpus,
      memory: values.memory,
      cpu: values.cpu,
    },
    ...{ rng: values.rng, balloon: values.balloon, vsock: values.vsock, agent: values.agent },
    ...{ ioThreads: values.ioThreads, debugExit: values.debugExit, kvmDevice: values.kvm },
    hostName: values.hostname ?? name,
    onReboot: values.reboot === false ? ('exit' as const) : undefined,
    disks: values.disks?.map(({ value }) => value),
    pmem: values.pmem?.map(({ value }) => value),
    shares: shares?.filter((one) => one !== undefined),
    virtioConsole: values.console === 'virtio' ? true : undefined,
    net: user === undefined && lans.length === 0 ? undefined : [...(user ?? []), ...lans],
    command: command(values, at),
  });
}
