/** From the arguments of `vexit run` to the library's options. */
import type { DiskOptions } from '../block/disk-option.js';
import type { Share } from '../fs/share-option.js';
import type { NetSettings } from '../machine/device-options.js';
import type { VsockSettings } from '../machine/vsock/vsock-option.js';
import type { CommandOptions, VirtualMachineOptions } from '../machine/config.js';
import { VexitError } from '../util/errors.js';
import { parseSize } from '../util/size.js';
import type { RunArguments } from './commands/run.js';
import { DEFAULT_TERMINAL_SIZE, terminalSize } from './console-connection.js';

/** Options that collect their values, and what yargs puts beside options. */
const COLLECTING = new Set([
  ...['initrd', 'env', 'disk', 'pmem', 'net', 'publish', 'allow-net', 'deny-net', 'share'],
  ...['_', '--'],
]);

/**
 * Every other option may be given once. yargs makes an array of one that is repeated, under each of
 * its names: the one to name is the long one without capitals.
 * @throws VexitError ERR_CONFIG
 */
function refuseRepeated(args: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(args)) {
    if (!Array.isArray(value) || COLLECTING.has(name) || !/^[a-z-]{2,}$/.test(name)) continue;
    throw new VexitError('ERR_CONFIG', `--${name} is given ${value.length} times`, 'give it once');
  }
}

/** NAME=VALUE items. @throws VexitError ERR_CONFIG */
export function environment(items: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const item of items) {
    const at = item.indexOf('=');
    if (at < 1)
      throw new VexitError(
        'ERR_CONFIG',
        `--env ${item} is not NAME=VALUE`,
        'write --env NAME=VALUE',
      );
    env[item.slice(0, at)] = item.slice(at + 1);
  }
  return env;
}

/**
 * The default guest's shell on a pipe or a file: run by the agent, so that its input ends where the
 * file ends. On a serial line the end of a file would only be one more character.
 */
function pipedShell(args: RunArguments): string[] | undefined {
  const piped = !process.stdin.isTTY && args.kernel === undefined && args.firmware === undefined;
  return piped ? ['/bin/sh', '-l'] : undefined;
}

function commandOptions(args: RunArguments): CommandOptions | undefined {
  // yargs leaves an empty list out.
  const detached = args.detach === true;
  const argv =
    args['--'] ?? (process.argv.at(-1) === '--' ? [] : detached ? undefined : pipedShell(args));
  if (argv === undefined) return undefined;
  if (argv.length === 0) {
    throw new VexitError('ERR_CONFIG', 'no command after --', 'write the command, or leave -- out');
  }
  const terminal = !detached && process.stdin.isTTY && process.stdout.isTTY;
  const tty = (args.tty ?? terminal) ? (terminalSize() ?? DEFAULT_TERMINAL_SIZE) : undefined;
  return {
    argv: argv.map(String),
    env: {
      ...(tty && process.env.TERM ? { TERM: process.env.TERM } : {}),
      ...environment(args.env ?? []),
    },
    ...(args.workdir === undefined ? {} : { cwd: args.workdir }),
    ...(args.user === undefined ? {} : { user: args.user }),
    ...(tty === undefined ? {} : { tty }),
  };
}

function flatAddress(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const address = /^0x[0-9a-f]+$/i.test(text) ? Number(text) : parseSize(text);
  if (address !== undefined) return address;
  throw new VexitError(
    'ERR_CONFIG',
    `--flat-address ${text} is not an address`,
    'write it as 0x7c00',
  );
}

function parsePmem(text: string): { path: string; readOnly: boolean } {
  const readOnly = text.endsWith(',ro');
  return { path: readOnly ? text.slice(0, -3) : text, readOnly };
}

// Parsers of devices are loaded when a device is asked for: every start pays for what is not.

async function disks({ disk }: RunArguments): Promise<DiskOptions[] | undefined> {
  if (disk === undefined) return undefined;
  const { parseDiskOption } = await import('../block/disk-option.js');
  return disk.map(parseDiskOption);
}

async function shares({ share }: RunArguments): Promise<Share[] | undefined> {
  if (share === undefined) return undefined;
  const { parseShareOption } = await import('../fs/share-option.js');
  return share.map((text) => parseShareOption(text));
}

async function vsock(args: RunArguments): Promise<VsockSettings | undefined> {
  if (args.vsock === undefined) return undefined;
  const { parseVsockOption } = await import('../machine/vsock/vsock-option.js');
  return parseVsockOption(args.vsock);
}

/**
 * The networks: rules, published ports and a capture belong to the first user network. The default
 * guest has one unless `none` or another network is asked for; another kernel has one as soon as one of
 * them is given.
 */
async function networks(args: RunArguments): Promise<NetSettings[] | undefined> {
  const { net, publish, allowNet, denyNet, pcap } = args;
  const given = [net, publish, allowNet, denyNet, pcap];
  if (given.every((option) => option === undefined)) {
    const isDefaultGuest = args.kernel === undefined && args.firmware === undefined;
    return isDefaultGuest ? [{ kind: 'user' }] : undefined;
  }
  if (net?.includes('none') === true) {
    const others = given.slice(1);
    if (net.length === 1 && others.every((option) => option === undefined)) return undefined;
    throw new VexitError(
      'ERR_CONFIG',
      '--net none goes with no other option of a network',
      'leave --net none out, or the others',
    );
  }
  const { parseInterface } = await import('../net/interface-option.js');
  const { parsePublish } = await import('../net/options.js');
  const { parseAllowNet } = await import('../net/policy/target.js');
  const extra = defined({
    publish: publish?.map(parsePublish),
    allow: allowNet?.flatMap(parseAllowNet),
    deny: denyNet?.flatMap(parseAllowNet),
    pcap,
  });
  const asked: NetSettings[] = net?.map(parseInterface) ?? [{ kind: 'user' }];
  const [option] = Object.keys(extra);
  if (option === undefined) return asked;
  const first = asked.findIndex(({ kind }) => kind === 'user');
  if (first < 0) {
    throw new VexitError(
      'ERR_CONFIG',
      `--${OPTION_OF[option] ?? option} is about a user network, and there is none`,
      'add --net user',
    );
  }
  return asked.map((one, i) => (i === first ? { ...one, ...extra } : one));
}

/** Options that have other names in the library. */
const OPTION_OF: Readonly<Record<string, string>> = { allow: 'allow-net', deny: 'deny-net' };

/** Drops keys without a value, as exact optional properties want it. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** @throws VexitError ERR_CONFIG for arguments that make no sense */
export async function runOptions(args: RunArguments): Promise<VirtualMachineOptions> {
  refuseRepeated(args);
  if (args.timeout !== undefined && !(args.timeout > 0)) {
    throw new VexitError(
      'ERR_CONFIG',
      '--timeout is not a number of seconds',
      'give seconds above 0',
    );
  }
  return defined({
    name: args.name,
    hostName: args.hostname,
    kernel: args.kernel,
    guest: args.guest,
    firmware: args.firmware,
    bootProtocol: args.bootProtocol,
    flatAddress: flatAddress(args.flatAddress),
    initrd: args.initrd,
    cmdline: args.cmdline,
    append: args.append,
    cpus: args.cpus,
    memory: args.memory,
    cpu: args.cpu,
    onReboot: args.reboot ? ('restart' as const) : ('exit' as const),
    debugExit: args.debugExit,
    disks: await disks(args),
    pmem: args.pmem?.map(parsePmem),
    net: await networks(args),
    shares: await shares(args),
    virtioConsole: args.console === 'virtio' ? true : undefined,
    rng: args.rng,
    balloon: args.balloon,
    vsock: await vsock(args),
    ioThreads: args.ioThreads,
    command: commandOptions(args),
    terminal: args.detach === true ? undefined : terminalSize(),
    kvmDevice: args.kvm,
    pvm: args.pvm,
  });
}
