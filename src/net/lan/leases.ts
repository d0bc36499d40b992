/**
 * Who is on a LAN: a file for each host number, which its owner has locked for as long as it lives.
 * The kernel ends locks with their process, so that a file without a lock is nobody's.
 */
import {
  closeSync,
  constants as fs,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { native } from '../../kvm/native.js';
import { FIRST_HOST, LAST_HOST, parseStation } from './lan-options.js';

/** One member. */
export interface Lease {
  readonly host: number;
  /** The VM's name. */
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
}

const SUFFIX = '.lease';
const LARGEST = 4096;
/** The time of a directory has the resolution of a clock tick: what is known is not kept for long. */
const KNOWN_MS = 500;

export function leasePath(directory: string, host: number): string {
  return path.join(directory, `${host}${SUFFIX}`);
}

export function socketPath(directory: string, host: number): string {
  return path.join(directory, `${host}.sock`);
}

/** The host number in the name of a file; undefined for other files. */
export function leaseHost(file: string): number | undefined {
  const match = /^([1-9]\d{0,2})\.lease$/.exec(file);
  const host = Number(match?.[1]);
  return host >= FIRST_HOST && host <= LAST_HOST ? host : undefined;
}

function parseLease(host: number, text: string): Lease | undefined {
  try {
    const { name, mac, mtu } = JSON.parse(text) as Partial<Record<string, unknown>>;
    if (typeof name !== 'string' || typeof mac !== 'string' || typeof mtu !== 'number') {
      return undefined;
    }
    return parseStation(mac) === undefined ? undefined : { host, name, mac, mtu };
  } catch {
    return undefined;
  }
}

/** Reads a lease; undefined unless its owner lives. */
export function readLease(directory: string, host: number): Lease | undefined {
  let fd: number;
  try {
    const flags = fs.O_RDONLY | fs.O_NOFOLLOW | fs.O_NONBLOCK;
    fd = openSync(leasePath(directory, host), flags);
  } catch {
    return undefined;
  }
  try {
    if (!fstatSync(fd).isFile() || !native().fileLocked(fd)) return undefined;
    const bytes = Buffer.alloc(LARGEST);
    return parseLease(host, bytes.toString('utf8', 0, readSync(fd, bytes, 0, LARGEST, 0)));
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** The members of a LAN; reads the directory again when it has changed. */
export class Leases {
  private known: Lease[] = [];
  private version = -1n;
  private checked = -Infinity;

  constructor(
    readonly directory: string,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Those whose processes live now. */
  list(): Lease[] {
    return hosts(this.directory).flatMap((host) => readLease(this.directory, host) ?? []);
  }

  /** The first that is what is looked for and lives. */
  find(matches: (lease: Lease) => boolean): Lease | undefined {
    this.refresh();
    const found = this.known.find(matches);
    return found === undefined ? undefined : readLease(this.directory, found.host);
  }

  private refresh(): void {
    const now = this.now();
    let version = -1n;
    try {
      version = statSync(this.directory, { bigint: true }).mtimeNs;
    } catch {
      // Without the directory there is nobody.
    }
    if (version === this.version && now - this.checked < KNOWN_MS) return;
    this.version = version;
    this.checked = now;
    this.known = this.list();
  }
}

/** Host numbers that have a lease, of whomever. */
export function hosts(directory: string): number[] {
  try {
    return readdirSync(directory).flatMap((file) => leaseHost(file) ?? []);
  } catch {
    return [];
  }
}
