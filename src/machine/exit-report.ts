/** How a VM's run ended, and the exit status that stands for it. */
import { MachineRequest } from '../bus/device.js';

/** Why the VM no longer runs. */
export type ExitReason =
  'power-off' | 'reset' | 'panic' | 'triple-fault' | 'debug-exit' | 'internal-error' | 'stopped';

/** The end of a VM. */
export interface ExitReport {
  readonly reason: ExitReason;
  /** Process exit status that the CLI gives for it; see docs/exit-status.md. */
  readonly status: number;
  /** One line for people. */
  readonly message: string;
  /** Register dump, for internal errors and triple faults. */
  readonly dump?: string;
}

/** Exit statuses of the CLI; 0 to 119 are the guest command's own. */
export const EXIT_STATUS = {
  ok: 0,
  usage: 2,
  reset: 120,
  panic: 121,
  tripleFault: 122,
  /** The guest went away before its command had reported a status. */
  commandLost: 123,
  timeout: 124,
  internalError: 125,
  notExecutable: 126,
  notFound: 127,
  interrupted: 130,
  terminated: 143,
} as const;

/** The report for what the guest asked for. */
export function reportRequest(kind: MachineRequest, data: number, dump?: string): ExitReport {
  const withDump = dump === undefined ? {} : { dump };
  switch (kind) {
    case MachineRequest.PowerOff:
      return { reason: 'power-off', status: EXIT_STATUS.ok, message: 'the guest powered off' };
    case MachineRequest.Reset:
      return { reason: 'reset', status: EXIT_STATUS.reset, message: 'the guest rebooted' };
    case MachineRequest.Panic:
      return {
        reason: 'panic',
        status: EXIT_STATUS.panic,
        message: 'the guest kernel panicked (reported through pvpanic)',
      };
    case MachineRequest.DebugExit:
      // As QEMU's isa-debug-exit: never 0, so that a crash of the VMM cannot look like a pass.
      return {
        reason: 'debug-exit',
        status: ((data << 1) | 1) & 0xff,
        message: `the guest wrote ${data} to the debug-exit port`,
      };
    case MachineRequest.TripleFault:
      return {
        reason: 'triple-fault',
        status: EXIT_STATUS.tripleFault,
        message: 'triple fault: the guest could not handle an exception',
        ...withDump,
      };
    default:
      return {
        reason: 'internal-error',
        status: EXIT_STATUS.internalError,
        message: 'the guest cannot go on',
        ...withDump,
      };
  }
}
