/** From the arguments of `vexit run` to the library's options. */
import type { CommandOptions, VirtualMachineOptions } from '../machine/config.js';
import { VexitError } from '../util/errors.js';
import { parseSize } from '../util/size.js';
import type { RunArguments } from './commands/run.js';
import { terminalSize } from './console-connection.js';

/** The value of an option that may be given once. */
function once<T>(name: string, value: T | readonly T[] | undefined): T | undefined {
  if (!Array.isArray(value)) return value as T | undefined;
  throw new VexitError('ERR_CONFIG', `--${name} is given ${value.length} times`, 'give it once');
}

function environment(items: readonly string[]): Record<string, string> {
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

function commandOptions(args: RunArguments): CommandOptions | undefined {
  const argv = args['--'];
  if (argv === undefined) return undefined;
  const terminal = process.stdin.isTTY && process.stdout.isTTY;
  const tty = (args.tty ?? terminal) ? (terminalSize() ?? { rows: 24, cols: 80 }) : undefined;
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

/** Drops keys without a value, as exact optional properties want it. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** @throws VexitError ERR_CONFIG for arguments that make no sense */
export function runOptions(args: RunArguments): VirtualMachineOptions {
  if (args.timeout !== undefined && !(args.timeout > 0)) {
    throw new VexitError(
      'ERR_CONFIG',
      '--timeout is not a number of seconds',
      'give seconds above 0',
    );
  }
  return defined({
    name: once('name', args.name),
    kernel: once('kernel', args.kernel),
    firmware: once('firmware', args.firmware),
    bootProtocol: once('boot-protocol', args.bootProtocol),
    flatAddress: flatAddress(once('flat-address', args.flatAddress)),
    initrd: args.initrd,
    cmdline: once('cmdline', args.cmdline),
    append: once('append', args.append),
    cpus: once('cpus', args.cpus),
    memory: once('memory', args.memory),
    cpu: once('cpu', args.cpu),
    onReboot: args.reboot ? ('restart' as const) : ('exit' as const),
    debugExit: args.debugExit,
    command: commandOptions(args),
    terminal: terminalSize(),
    kvmDevice: args.kvm,
    pvm: args.pvm,
  });
}
