/** Options of a shared directory, and what follows from who runs the process. */
import { readFileSync } from 'node:fs';
import { IDENTITY, type IdRange } from './id-map.js';
import type { XattrPolicy } from './host-xattrs.js';

/** Settings of a shared directory. */
export interface HostDirectoryOptions {
  /** Nothing is changed, whoever asks. */
  readonly readOnly?: boolean;
  /**
   * Ids of the guest and of the host. Without it root shares with the same ids on both sides, and
   * for everybody else the guest's root is that user.
   */
  readonly uidMap?: readonly IdRange[];
  readonly gidMap?: readonly IdRange[];
  /** Extended attributes; those of users unless given. */
  readonly xattrs?: XattrPolicy;
  /** The most descriptors for nodes, and for open files; a quarter of the process's each, or less. */
  readonly maxNodeDescriptors?: number;
  readonly maxFileDescriptors?: number;
}

const LARGEST_DEFAULT = 16384;
const SMALLEST_DEFAULT = 64;

/** Descriptors a process may have. */
function descriptorLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const found = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return found === undefined ? Infinity : Number(found);
}

export function defaultDescriptors(): number {
  const share = Math.floor(descriptorLimit() / 4);
  return Math.max(SMALLEST_DEFAULT, Math.min(share, LARGEST_DEFAULT));
}

export function defaultMap(id: number): readonly IdRange[] {
  return process.geteuid!() === 0 ? IDENTITY : [{ guest: 0, host: id, count: 1 }];
}

/** The permissions that the process's umask takes away from what it makes. */
export function processUmask(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return parseInt(/^Umask:\s+([0-7]+)/m.exec(status)?.[1] ?? '777', 8);
}
