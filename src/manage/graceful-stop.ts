/** Ends a VM the way its guest can agree with, and without it when the guest does not. */
import type { VirtualMachine } from '../machine/virtual-machine.js';
import { VexitError } from '../util/errors.js';

/** Presses the ACPI power button, waits, and switches the VM off. Resolves with whether it had to. */
export async function stopGracefully(vm: VirtualMachine, graceMs: number): Promise<boolean> {
  if (vm.state === 'stopped') return false;
  if (vm.state === 'paused') await unlessEnded(vm.resume());
  const ended = vm.wait().then(() => true);
  if (graceMs > 0) {
    askToPowerOff(vm);
    if (await Promise.race([ended, elapsed(graceMs, ended)])) return false;
  }
  await vm.stop();
  return (await vm.wait()).reason === 'stopped';
}

function askToPowerOff(vm: VirtualMachine): void {
  if (vm.state === 'running') vm.pressPowerButton();
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
