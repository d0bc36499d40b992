/** The clock behind timers that never go back. */

/**
 * Time of the virtual machine. It goes on from where it was after a snapshot is restored, so that
 * the guest's timers do not jump.
 */
export interface MonotonicClock {
  /** Nanoseconds since some fixed moment; a number is exact to 1 us for centuries. */
  nanoseconds(): number;
}
