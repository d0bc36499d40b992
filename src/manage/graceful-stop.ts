/** Ends a VM the way its guest can agree with, and without it when the guest does not. */
import type { VirtualMachine } from '../machine/virtual-machine.js';
import { VexitError } from '../util/errors.js';

/** How long the agent has to answer before the power button is pressed as well. */
const AGENT_ANSWER_MS = 2000;

/**
 * Asks the guest's agent, else by the ACPI power button, waits, and switches the VM off.
 * Resolves with whether it had to.
 */
export async function stopGracefully(vm: VirtualMachine, graceMs: number): Promise<boolean> {
  if (vm.state === 'stopped') return false;
  if (vm.state === 'paused') await unlessEnded(vm.resume());
  const ended = vm.wait().then(() => true);
  if (graceMs > 0) {
    const asked = askToPowerOff(vm, graceMs, ended);
    if (await Promise.race([ended, elapsed(graceMs, ended)])) return false;
    await asked;
  }
  await vm.stop();
  return (await vm.wait()).reason === 'stopped';
}

/** The button follows when the agent does not answer, or the guest is still there at half of the time. */
async function askToPowerOff(
  vm: VirtualMachine,
  graceMs: number,
  ended: Promise<unknown>,
): Promise<void> {
  if (await agentPowersOff(vm, Math.min(AGENT_ANSWER_MS, graceMs / 2))) {
    await Promise.race([ended, elapsed(graceMs / 2, ended)]);
  }
  if (vm.state === 'running') vm.pressPowerButton();
}

/** Whether there is an agent that has begun to end the guest. */
async function agentPowersOff({ agent }: VirtualMachine, timeoutMs: number): Promise<boolean> {
  if (agent === undefined) return false;
  try {
    await agent.powerOff({ signal: AbortSignal.timeout(timeoutMs) });
    return true;
  } catch (error) {
    if (!(error instanceof VexitError)) throw error;
    return false;
  }
}

/** A VM whose guest ends at the same moment cannot be resumed, and need not. */
async function unlessEnded(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!(error instanceof VexitError)) throw error;
  }
}

function elapsed(ms: number, ended: Promise<unknown>): Promise<false> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void ended.then(() => clearTimeout(timer));
  });
}
