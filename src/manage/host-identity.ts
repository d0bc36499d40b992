/** What says whether a process of an earlier time can still be there. */
import fs from 'node:fs';

/** Changes with every boot of the host. */
export function bootId(): string {
  return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

/**
 * When a process began, in clock ticks after boot (proc(5), stat field 22); undefined when there is
 * no such process. With the process id it names one process of this boot.
 */
export function processStart(pid: number): number | undefined {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command, field 2, may hold anything, also spaces and brackets.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // A zombie (field 3) has ended; it only waits to be noticed.
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return Number(fields[19]);
  } catch {
    return undefined;
  }
}
