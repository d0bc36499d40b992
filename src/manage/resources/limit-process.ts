/** Limits of a VM on a terminal, whose process is that of the command. */
import type { VirtualMachine } from '../../machine/virtual-machine.js';
import { ResourceControl } from './resource-control.js';
import type { ResourceLimits } from './limits.js';

/**
 * Limits this process, which runs one VM.
 * @param onMemory what is said when the VM is ended for its memory
 * @throws VexitError ERR_CONFIG for limits that make no sense on this host
 */
export function limitProcess(
  vm: VirtualMachine,
  cpus: number,
  limits: ResourceLimits,
  onMemory: (bytes: number) => void,
): ResourceControl {
  const control = new ResourceControl(`vexit-${process.pid}`, {
    cpus,
    vm: () => vm,
    onMemory: (bytes) => {
      onMemory(bytes);
      void vm.stop();
    },
  });
  control.apply(limits);
  return control;
}
