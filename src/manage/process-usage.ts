/** What a VM's process takes of the host: processor time by thread, memory. */
import fs from 'node:fs';

/** Clock ticks a second in /proc, the same on every Linux that Node.js runs on (USER_HZ). */
const TICKS = 100;

/** One thread. */
export interface ThreadUsage {
  readonly tid: number;
  /** `vcpu0`, `io`, `vexit: web`, or what Node.js calls its own. */
  readonly name: string;
  /** R runs, S sleeps... (proc(5), stat field 3) */
  readonly state: string;
  /** Processor time since it began; milliseconds. */
  readonly cpuMs: number;
}

/** Memory of the process; bytes. */
export interface MemoryUsage {
  readonly resident: number;
  /** The part that is guest memory. */
  readonly guest: number;
}

function parseThread(tid: number, text: string): ThreadUsage {
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    tid,
    name: text.slice(text.indexOf('(') + 1, end),
    state: fields[0]!,
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS,
  };
}

/** Threads of a process; none when it has ended. */
export function threadsOf(pid: number): ThreadUsage[] {
  let tids: string[];
  try {
    tids = fs.readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  return tids.flatMap((tid) => {
    try {
      const text = fs.readFileSync(`/proc/${pid}/task/${tid}/stat`, 'latin1');
      return [parseThread(Number(tid), text)];
    } catch {
      return []; // ended in the meantime
    }
  });
}

/** Memory of this process. Guest memory is the only memory that it shares (RssShmem). */
export function ownMemory(): MemoryUsage {
  const text = fs.readFileSync('/proc/self/status', 'latin1');
  const kilobytes = (key: string): number =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
  return { resident: kilobytes('VmRSS') * 1024, guest: kilobytes('RssShmem') * 1024 };
}
