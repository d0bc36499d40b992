/**
 * A group of cgroup v2 for a VM's process (Documentation/admin-guide/cgroup-v2.rst), where this user
 * may make one: below the nearest of the process's own groups whose children have the controllers.
 */
import fs from 'node:fs';
import path from 'node:path';

/** The controllers that are used. */
const CONTROLLERS = ['cpu', 'memory', 'io'] as const;
export type Controller = (typeof CONTROLLERS)[number];

/** Files of the kernel, elsewhere in tests. */
export interface CgroupPlaces {
  readonly mounts: string;
  readonly own: string;
}

const PLACES: CgroupPlaces = { mounts: '/proc/self/mounts', own: '/proc/self/cgroup' };

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'latin1').trim();
  } catch {
    return '';
  }
}

function words(file: string): string[] {
  return read(file)
    .split(/\s+/)
    .filter((word) => word !== '');
}

/** Where cgroup v2 is mounted: alone, or beside v1. */
function mountPoint({ mounts }: CgroupPlaces): string | undefined {
  const line = read(mounts)
    .split('\n')
    .find((one) => one.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1];
}

/** The process's group and those around it, from the inside; undefined without cgroup v2. */
function ownGroups(places: CgroupPlaces): string[] | undefined {
  const mount = mountPoint(places);
  const own = /^0::(\/.*)$/m.exec(read(places.own))?.[1];
  if (mount === undefined || own === undefined || own.includes('..')) return undefined;
  const groups: string[] = [];
  for (let at = own; ; at = path.posix.dirname(at)) {
    groups.push(path.join(mount, at));
    if (at === '/') return groups;
  }
}

function writable(directory: string): boolean {
  try {
    fs.accessSync(directory, fs.constants.W_OK);
    fs.accessSync(path.join(directory, 'cgroup.procs'), fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The outermost group, which has no type, may have processes and give its children controllers. */
function hasProcesses(directory: string): boolean {
  const outermost = !fs.existsSync(path.join(directory, 'cgroup.type'));
  return !outermost && read(path.join(directory, 'cgroup.procs')) !== '';
}

/**
 * What children of a group get; a group without processes of its own may give them more.
 * @param change switches on what can be had; else it is only looked at
 */
function offered(directory: string, change: boolean): Controller[] {
  const there = words(path.join(directory, 'cgroup.controllers'));
  const given = words(path.join(directory, 'cgroup.subtree_control'));
  return CONTROLLERS.filter((one) => {
    if (given.includes(one)) return true;
    if (!there.includes(one)) return false;
    const control = path.join(directory, 'cgroup.subtree_control');
    try {
      if (change) fs.writeFileSync(control, `+${one}`);
      else fs.accessSync(control, fs.constants.W_OK);
      return change || !hasProcesses(directory);
    } catch {
      return false; // EBUSY: it has processes of its own
    }
  });
}

/** Where a group can be made, and what can be limited in it. */
export interface CgroupSupport {
  readonly path: string;
  readonly controllers: readonly Controller[];
}

/** The nearest group in which one with controllers can be made. */
function parentGroup(places: CgroupPlaces, change: boolean): CgroupSupport | undefined {
  for (const group of ownGroups(places) ?? []) {
    if (!writable(group)) continue;
    const controllers = offered(group, change);
    if (controllers.length > 0) return { path: group, controllers };
  }
  return undefined;
}

/** Where VMs get their groups, as far as can be seen without changing anything. */
export function cgroupSupport(places = PLACES): CgroupSupport | undefined {
  return parentGroup(places, false);
}

/** Files of the controllers, and what is in them without a limit. */
const UNLIMITED = {
  'cpu.weight': '100',
  'cpu.max': 'max',
  'memory.max': 'max',
  'io.weight': 'default 100',
} as const;
export type CgroupFile = keyof typeof UNLIMITED;

/** The group of this process. */
export class Cgroup {
  private constructor(
    readonly path: string,
    private readonly before: string,
    private readonly controllers: readonly Controller[],
  ) {}

  /**
   * Makes a group and moves this process into it.
   * @returns undefined where there is no place for one
   */
  static enter(name: string, places = PLACES): Cgroup | undefined {
    const parent = parentGroup(places, true);
    const before = ownGroups(places)?.[0];
    if (parent === undefined || before === undefined) return undefined;
    const group = path.join(parent.path, name);
    try {
      // One of this name is what a process of the same VM has left behind.
      fs.mkdirSync(group, { recursive: true });
      fs.writeFileSync(path.join(group, 'cgroup.procs'), String(process.pid));
      return new Cgroup(group, before, parent.controllers);
    } catch {
      removeCgroup(group);
      return undefined; // a common ancestor belongs to somebody else
    }
  }

  /**
   * Writes a limit; undefined takes it away.
   * @returns whether it is in force
   */
  set(file: CgroupFile, value: string | undefined): boolean {
    if (!this.controllers.includes(file.split('.')[0] as Controller)) return false;
    try {
      fs.writeFileSync(path.join(this.path, file), value ?? UNLIMITED[file]);
      return true;
    } catch {
      return false; // io.weight: no scheduler that weighs
    }
  }

  /** Goes back to where this process was, and removes the group. */
  leave(): void {
    try {
      fs.writeFileSync(path.join(this.before, 'cgroup.procs'), String(process.pid));
    } catch {
      return; // whoever finds that the process has ended removes it
    }
    removeCgroup(this.path);
  }
}

/** Removes a group that a process has left behind. It has to be empty; one that is not stays. */
export function removeCgroup(group: string): void {
  try {
    fs.rmdirSync(group);
  } catch {
    // Gone, or somebody has put a process into it.
  }
}
