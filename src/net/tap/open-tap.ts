/** Opens the queues of a TAP device, and makes the device when it is not there. */
import { closeSync, readFileSync } from 'node:fs';
import { native } from '../../kvm/native.js';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import type { TapNetOptions } from './tap-option.js';

/** An open TAP device; plain data, good in every thread. */
export interface OpenTap {
  readonly kind: 'tap';
  readonly name: string;
  /** A file for each pair of queues. A device that was made here ends with the last of them. */
  readonly fds: readonly number[];
}

/** struct virtio_net_hdr with num_buffers. */
const HEADER_BYTES = 12;

/** Whether an interface of this name exists, in the network namespace of this process. */
function interfaceExists(name: string): boolean {
  const lines = readFileSync('/proc/net/dev', 'utf8').split('\n');
  return lines.some((line) => line.trimStart().startsWith(`${name}:`));
}

function open(name: string, multiQueue: boolean): number {
  return native().tapOpen(name, multiQueue, true).fd;
}

/** Opens the first queue; a device that was made for several can be used with one. */
function openFirst(name: string, queues: number, exists: boolean): number {
  if (queues > 1) return open(name, true);
  try {
    return open(name, false);
  } catch (error) {
    if (!exists || systemCode(error) !== 'EINVAL') throw error;
    return open(name, true);
  }
}

/** True for a TAP device that was made for one queue. */
function hasOneQueue(name: string): boolean {
  try {
    closeSync(open(name, false));
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether somebody else has queues of a device that was made for several: the kernel would give each of
 * us the flows of the other. Looked at when our own are open, so that of two at once one is told at least.
 */
function isShared(name: string, queues: number): boolean {
  try {
    return native().tapQueues(name) > queues;
  } catch {
    // What cannot be asked is not known to be wrong.
    return false;
  }
}

function explain(error: unknown, name: string, queues: number, exists: boolean): VexitError {
  const wrong = (message: string, hint: string): VexitError =>
    new VexitError('ERR_NET', message, hint, { cause: error });
  const several = queues > 1 ? ' multi_queue' : '';
  const make = `ip tuntap add dev ${name} mode tap user $(id -un)${several}`;
  if ((error as { syscall?: unknown }).syscall === 'open /dev/net/tun') {
    return systemCode(error) === 'EACCES' || systemCode(error) === 'EPERM'
      ? wrong('/dev/net/tun may not be opened', 'give this user access to it')
      : wrong(`no TAP devices here: ${errorMessage(error)}`, 'modprobe tun');
  }
  switch (systemCode(error)) {
    case 'EPERM':
      return exists
        ? wrong(`tap ${name} may not be opened`, `as root: ip link del ${name} && ${make}`)
        : wrong(`there is no tap ${name}, and making one is not allowed`, `as root: ${make}`);
    case 'EBUSY':
      return wrong(`tap ${name} is in use`, 'stop the program that has it, or name another one');
    case 'E2BIG':
      return wrong(`tap ${name} has no more queues`, 'stop the program that has them');
    case 'EINVAL':
      return exists && queues > 1 && hasOneQueue(name)
        ? wrong(`tap ${name} was made for one queue`, `leave queues= out, or make it by: ${make}`)
        : wrong(`${name} is an interface, but not a tap`, 'name a tap');
    default:
      return wrong(`tap ${name} cannot be opened: ${errorMessage(error)}`, 'name another one');
  }
}

/**
 * Opens a TAP device. One that is made here is brought up, and ends when its files are closed.
 * @throws VexitError ERR_NET; nothing is left open then
 */
export function openTap({ name, mtu = 0, queues = 1 }: TapNetOptions): OpenTap {
  const addon = native();
  const fds: number[] = [];
  const exists = interfaceExists(name);
  try {
    fds.push(openFirst(name, queues, exists));
    while (fds.length < queues) fds.push(open(name, true));
    if (isShared(name, queues)) throw Object.assign(new Error('shared'), { code: 'EBUSY' });
    addon.tapSetVnetHeaderSize(fds[0]!, HEADER_BYTES);
    addon.tapSetOffload(fds[0]!, 0);
    if (!exists) addon.tapBringUp(name, mtu);
    return { kind: 'tap', name, fds };
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    throw explain(error, name, queues, exists);
  }
}
