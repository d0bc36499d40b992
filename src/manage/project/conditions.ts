/** Waits until a VM is what another one needs it to be. */
import { setTimeout as sleep } from 'node:timers/promises';
import { VexitError } from '../../util/errors.js';
import type { ManagedVm } from '../managed-vm.js';
import { isActive, type VmRecord } from '../records.js';
import type { Condition } from './project.js';

const POLL_MS = 200;

/** Whether the condition holds. @throws VexitError ERR_VM_STATE when it is not going to */
function holds(name: string, condition: Condition, { status, exit, health }: VmRecord): boolean {
  const fail = (what: string, hint?: string): never => {
    throw new VexitError('ERR_VM_STATE', `${name} ${what}`, hint);
  };
  const ended = status === 'exited';
  if (condition === 'completed') {
    if (!ended) return false;
    return exit?.status === 0 || fail(`has not completed: ${exit?.message ?? 'it has ended'}`);
  }
  if (ended) fail(`has ended: ${exit?.message ?? 'nobody knows why'}`);
  if (status === 'paused') fail('is paused', `let it go on: vexit resume`);
  if (condition === 'started') return status === 'running';
  if (health?.status === 'unhealthy') fail(`is unhealthy: ${health.output ?? 'the check failed'}`);
  return isActive(status) && health?.status === 'healthy';
}

/**
 * Waits for a condition.
 * @param name of the VM, for messages
 * @throws VexitError ERR_VM_STATE when the VM is not going to be like that; what the signal says
 */
export async function waitFor(
  vm: ManagedVm,
  name: string,
  condition: Condition,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (holds(name, condition, await vm.state())) return;
    await sleep(POLL_MS, undefined, { signal });
  }
}
