/** The command line of the default guest. */
import type { GuestSource } from './default-guest.js';

/**
 * Parameters that are right for the default guest on every host. What only one kind of host
 * needs is appended by the code that knows the host. The lists are short on purpose: the kernel
 * compares every parameter with every name it knows, a dozen times.
 *
 * - `panic=-1`: a guest that panics says so at once.
 * - `reboot=k`: by the keyboard controller, which every kernel knows how to use.
 * - `loglevel=3`: the console is the user's.
 *
 * The built kernel's configuration has `panic` and `loglevel`, and it resets by ACPI.
 *
 * - `noreplace-smp`: a uniprocessor guest would patch every lock prefix away during the boot.
 */
const PARAMETERS: Readonly<Record<GuestSource, string>> = {
  built: 'console=ttyS0 noreplace-smp',
  cloud: 'console=ttyS0 reboot=k panic=-1 loglevel=3 noreplace-smp',
};

/** The command line for the kernel of this source. */
export function defaultGuestCmdline(source: GuestSource): string {
  return PARAMETERS[source];
}
