/** The command line of the default guest. */

/**
 * Parameters that are right for the default guest on every host. What only one kind of host
 * needs is appended by the code that knows the host.
 *
 * - `reboot=k panic=-1`: a guest that panics or reboots ends at once; the VMM watches for it.
 * - `noreplace-smp`: a uniprocessor guest would patch every lock prefix away during the boot.
 * - `random.trust_cpu=1`: the processor's generator is the host's, which the guest trusts anyway.
 * - `no_timer_check`: virtual timers need no test of their interrupt.
 * - `i8042.*`, `8250.nr_uarts`: no probing for what the machine does not have.
 * - `rcupdate.*`: grace periods of the boot do not wait for ticks.
 */
export const DEFAULT_GUEST_PARAMETERS: readonly string[] = [
  'console=ttyS0',
  'reboot=k',
  'panic=-1',
  'quiet',
  'loglevel=3',
  'noreplace-smp',
  'no_timer_check',
  'random.trust_cpu=1',
  'rcupdate.rcu_expedited=1',
  'rcupdate.rcu_normal_after_boot=1',
];

/** {@link DEFAULT_GUEST_PARAMETERS} as the kernel takes them. */
export const DEFAULT_GUEST_CMDLINE = DEFAULT_GUEST_PARAMETERS.join(' ');
