/** What can be asked of a VM's process. */
import type { VirtualMachine } from '../machine/virtual-machine.js';
import { VexitError } from '../util/errors.js';
import type { ControlReply, ControlRequest, Operation } from './control-server.js';
import type { ConsoleHub } from './console-hub.js';
import type { VmEvent } from './event-log.js';
import type { VmExit, VmRecord } from './records.js';
import type { ResourceLimits } from './resources/limits.js';
import type { ResourceControl } from './resources/resource-control.js';
import { parseRestartPolicy, type RestartPolicy } from './restart-policy.js';
import { collectStats } from './vm-stats.js';
import { updateDevices, type DeviceUpdates } from './device-updates.js';
import type { VmDirectory } from './vm-directory.js';

/** A VM as its process knows it. */
export interface ControlledVm {
  readonly directory: VmDirectory;
  readonly state: VmRecord;
  /** The machine that is on, if one is. */
  readonly vm: VirtualMachine | undefined;
  /** Undefined when a terminal has the console. */
  readonly console?: ConsoleHub;
  /** What limits the VM; undefined when nothing does. */
  readonly resources?: ResourceControl | undefined;
  restartPolicy: RestartPolicy;
  /** Puts limits in force, instead of those before. */
  limit(limits: ResourceLimits): void;
  wait(): Promise<VmExit>;
  stop(wish: 'stop' | 'restart', graceMs: number): Promise<void>;
  event(event: Omit<VmEvent, 'time' | 'name'>): void;
}

/** What is said when the guest of a VM is asked for something while it is not on. */
function running({ vm, state, directory }: ControlledVm): VirtualMachine {
  if (vm !== undefined && vm.state !== 'stopped') return vm;
  throw new VexitError('ERR_VM_STATE', `VM ${directory.name} is ${state.status}`);
}

function number(request: ControlRequest, key: string, fallback: number): number {
  const value = request[key] ?? fallback;
  if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value;
  throw new VexitError('ERR_CONTROL', `${key} is no number`);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Timers take at most so many milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/** By the name of the operation. */
export function operations(controlled: ControlledVm): Map<string, Operation> {
  const stop = async (wish: 'stop' | 'restart', request: ControlRequest): Promise<void> => {
    const grace = Math.min(number(request, 'graceMs', 10_000), LONGEST_MS);
    await controlled.stop(wish, grace);
  };
  return new Map<string, Operation>([
    ['state', () => ({ value: controlled.state })],
    [
      'stop',
      async (request) => {
        await stop('stop', request);
        return { value: await controlled.wait() };
      },
    ],
    [
      'restart',
      async (request) => {
        await stop('restart', request);
        return {};
      },
    ],
    ['wait', async () => ({ value: await controlled.wait() })],
    [
      'pause',
      async () => {
        await usable(running(controlled).pause());
        controlled.event({ type: 'pause' });
        return {};
      },
    ],
    [
      'resume',
      async () => {
        await usable(running(controlled).resume());
        controlled.event({ type: 'resume' });
        return {};
      },
    ],
    ['resources', () => ({ value: controlled.resources?.state ?? {} })],
    ['stats', () => ({ value: collectStats(running(controlled), controlled.resources?.heldMs) })],
    ['attach', () => attach(controlled)],
    ['renamed', () => ({ value: (process.title = processTitle(controlled.directory.name)) })],
    [
      'update',
      async (request) => {
        await update(controlled, request);
        controlled.event({ type: 'update' });
        return {};
      },
    ],
  ]);
}

export function processTitle(name: string): string {
  return `vexit: ${name}`;
}

/** An operation of the library that needs a VM in another state. */
async function usable(operation: Promise<void>): Promise<void> {
  try {
    await operation;
  } catch (error) {
    // The library's word for it; to a command the same is input that makes no sense now.
    if (error instanceof VexitError && error.code === 'ERR_STATE') {
      throw new VexitError('ERR_VM_STATE', error.message);
    }
    throw error;
  }
}

function attach({ console, directory }: ControlledVm): ControlReply {
  if (console !== undefined) return { stream: (stream) => console.attach(stream) };
  throw new VexitError('ERR_VM_STATE', `the terminal of VM ${directory.name} is where it was run`);
}

/** Changes what can be changed while the VM runs. */
async function update(controlled: ControlledVm, request: ControlRequest): Promise<void> {
  const { restart, balloon, resources } = request;
  if (balloon !== undefined) {
    const control = running(controlled).balloon;
    if (control === undefined) {
      throw new VexitError('ERR_CONFIG', 'the VM has no balloon', 'create it with --balloon');
    }
    control.setTarget(Number(balloon));
  }
  const { disks, networks } = request as DeviceUpdates;
  if (disks !== undefined || networks !== undefined) {
    await usable(updateDevices(running(controlled), request));
  }
  if (resources !== undefined) controlled.limit(resources as ResourceLimits);
  if (restart !== undefined) controlled.restartPolicy = parseRestartPolicy(textOf(restart));
}
