/**
 * Becoming a member of a LAN: a host number, a name and a card's address that nobody else has, and
 * the socket that other members connect to. All of it goes with the process, however that ends.
 */
import { closeSync, constants as fs, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { ProcessLock } from '../../io/process-lock.js';
import { native } from '../../kvm/native.js';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import { DEFAULT_MTU } from '../options.js';
import { clearLan, sweep } from './clear-lan.js';
import {
  checkLanOptions,
  FIRST_HOST,
  LAST_HOST,
  lanAddresses,
  parseStation,
  preferredIdentity,
  type LanNetOptions,
} from './lan-options.js';
import { lanDirectory, lanPath, lockPath } from './lan-place.js';
import { hosts, leasePath, readLease, socketPath, type Lease } from './leases.js';

/** A place on a LAN. Plain data, for the thread that serves the interface. */
export interface LanPlace {
  readonly kind: 'lan';
  readonly lan: string;
  readonly directory: string;
  readonly host: number;
  readonly mac: string;
  readonly mtu: number;
  /** The socket that members connect to. */
  readonly listenFd: number;
}

/** Membership, until it is given up. */
export interface Membership {
  readonly place: LanPlace;
  /** Takes the LAN away, too, when nobody else is on it. */
  readonly leave: () => void;
}

const LOCK_MS = 5000;
const MOST_TRIES = 100;
/** As many as there are members at most. */
const BACKLOG = 256;

function fail(message: string, hint: string): never {
  throw new VexitError('ERR_CONFIG', message, hint);
}

/** Makes the directory of a LAN, and locks it against others who join: they look, then make files. */
async function openLan(lan: string): Promise<{ directory: string; lock: ProcessLock }> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const directory = lanDirectory(lan);
    try {
      const lock = await ProcessLock.acquire(lockPath(directory), LOCK_MS);
      if (lock !== undefined) return { directory, lock };
    } catch (error) {
      // The directory was removed between the two calls.
      if (systemCode(error) === 'ENOENT') continue;
      throw error;
    }
    fail(`the LAN in ${directory} is being joined by a process that hangs`, 'end that process');
  }
  return fail(`LAN ${lan} is removed again and again`, 'name another LAN');
}

/** A host number that is free: the preferred one, or the next. */
function freeHost(members: readonly Lease[], preferred: number, lan: string): number {
  const taken = new Set(members.map(({ host }) => host));
  const count = LAST_HOST - FIRST_HOST + 1;
  for (let i = 0; i < count; i++) {
    const host = FIRST_HOST + ((preferred - FIRST_HOST + i) % count);
    if (!taken.has(host)) return host;
  }
  return fail(`LAN ${lan} is full: it has ${count} VMs`, 'end one, or name another LAN');
}

function freeMac(members: readonly Lease[], preferred: string): string {
  const taken = new Set(members.map(({ mac }) => mac));
  let mac = preferred;
  for (let i = 1; taken.has(mac); i++) mac = preferredIdentity(preferred, String(i)).mac;
  return mac;
}

/** What the new member is going to be. */
function identify(
  { lan, mtu = DEFAULT_MTU }: LanNetOptions,
  name: string,
  wantedMac: string | undefined,
  members: readonly Lease[],
): Lease {
  const twin = members.find((member) => member.name.toLowerCase() === name.toLowerCase());
  if (twin !== undefined) {
    fail(`LAN ${lan} has a VM with the name ${twin.name} already`, 'give another --name');
  }
  const preferred = preferredIdentity(lan, name);
  const host = freeHost(members, preferred.host, lan);
  const mac = wantedMac?.toLowerCase() ?? freeMac(members, preferred.mac);
  const owner = members.find((member) => member.mac === mac);
  if (owner !== undefined || lanAddresses(lan, host).mac.toString() === mac) {
    const who = owner === undefined ? 'its name server' : `the VM ${owner.name}`;
    fail(`the MAC address ${mac} on LAN ${lan} is that of ${who}`, 'give another');
  }
  const other = members.find((member) => member.mtu !== mtu);
  if (other !== undefined) {
    fail(
      `LAN ${lan} has an MTU of ${other.mtu}, not ${mtu}`,
      'give the same mtu= to all VMs of a LAN',
    );
  }
  return { host, name, mac, mtu };
}

/** Makes the lease, locked from its first moment under its name; the descriptor has the lock. */
function writeLease(directory: string, { host, name, mac, mtu }: Lease): number {
  const draft = path.join(directory, 'new');
  const fd = openSync(draft, fs.O_RDWR | fs.O_CREAT | fs.O_EXCL, 0o600);
  try {
    native().fileLock(fd, true);
    writeSync(fd, `${JSON.stringify({ name, mac, mtu })}\n`);
    renameSync(draft, leasePath(directory, host));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

function remove(directory: string, host: number): void {
  rmSync(socketPath(directory, host), { force: true });
  rmSync(leasePath(directory, host), { force: true });
}

function takePlace(
  options: LanNetOptions,
  name: string,
  mac: string | undefined,
  directory: string,
): Membership {
  sweep(directory);
  const members = hosts(directory).flatMap((host) => readLease(directory, host) ?? []);
  const lease = identify(options, name, mac, members);
  const { host } = lease;
  const leaseFd = writeLease(directory, lease);
  try {
    const listenFd = native().packetListen(socketPath(directory, host), BACKLOG);
    const { lan } = options;
    const { mtu } = lease;
    return {
      place: { kind: 'lan', lan, directory, host, mac: lease.mac, mtu, listenFd },
      leave: () => {
        remove(directory, host);
        closeSync(listenFd);
        closeSync(leaseFd);
        clearLan(lan);
      },
    };
  } catch (error) {
    remove(directory, host);
    closeSync(leaseFd);
    throw error;
  }
}

/**
 * Joins a LAN.
 * @param name the VM's
 * @param mac undefined: one that follows from the names, so that it is the same the next time
 * @throws VexitError ERR_CONFIG; nothing is left behind then
 */
export async function joinLan(
  options: LanNetOptions,
  name: string | undefined,
  mac?: string,
): Promise<Membership> {
  checkLanOptions(options);
  const { lan } = options;
  if (name === undefined) {
    return fail(`a VM on LAN ${lan} needs a name, by which others find it`, 'give --name');
  }
  if (mac !== undefined && parseStation(mac) === undefined) {
    return fail(`${mac} is not a unicast MAC address`, 'write it as 52:54:00:12:34:56');
  }
  let lock: ProcessLock | undefined;
  try {
    const open = await openLan(lan);
    lock = open.lock;
    return takePlace(options, name, mac, open.directory);
  } catch (error) {
    lock?.release();
    if (lock !== undefined) clearLan(lan);
    if (error instanceof VexitError) throw error;
    return fail(`cannot join LAN ${lan}: ${errorMessage(error)}`, `look at ${lanPath(lan)}`);
  } finally {
    lock?.release();
  }
}
