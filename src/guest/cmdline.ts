/** The command line of the default guest. */

/**
 * Parameters that are right for the default guest on every host. What only one kind of host
 * needs is appended by the code that knows the host. The list is short on purpose: the kernel
 * compares every parameter with every name it knows, several times.
 *
 * - `reboot=k panic=-1`: a guest that reboots or panics says so at once.
 * - `noreplace-smp`: a uniprocessor guest would patch every lock prefix away during the boot.
 * - `rcupdate.*`: grace periods of the boot do not wait for timer ticks.
 */
export const DEFAULT_GUEST_PARAMETERS: readonly string[] = [
  'console=ttyS0',
  'reboot=k',
  'panic=-1',
  'loglevel=3',
  'noreplace-smp',
  'rcupdate.rcu_expedited=1',
  'rcupdate.rcu_normal_after_boot=1',
];

/** {@link DEFAULT_GUEST_PARAMETERS} as the kernel takes them. */
export const DEFAULT_GUEST_CMDLINE = DEFAULT_GUEST_PARAMETERS.join(' ');
