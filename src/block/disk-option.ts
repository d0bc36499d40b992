/** Disks as people ask for them: `--disk path,ro,serial=S,...`, into plain data. */
import { VexitError } from '../util/errors.js';
import { parseSize } from '../util/size.js';

/**
 * Who keeps what the guest has written:
 * - `writeback`: the host's cache, until the guest flushes;
 * - `writethrough`: nobody, a write ends on persistent storage;
 * - `unsafe`: the host's cache, and no flush is offered;
 * - `direct`: as `writeback`, past the host's page cache.
 */
export type DiskCache = 'writeback' | 'writethrough' | 'unsafe' | 'direct';

/** A disk of a VM. */
export interface DiskOptions {
  /** An image or a block device. Always raw: what it begins with means nothing. */
  readonly path: string;
  readonly readOnly?: boolean;
  /**
   * Whether Linux is to boot from it. Unless a disk says `true`, it is the first that does not say
   * `false`.
   */
  readonly root?: boolean;
  /** Up to 20 characters of ASCII. */
  readonly serial?: string;
  /** `writeback` unless given. */
  readonly cache?: DiskCache;
  /** The best this host has, unless given. */
  readonly engine?: 'io_uring' | 'threads';
  /** Keeps what the guest writes in this overlay and leaves `path` alone. It is made if it is not there. */
  readonly overlay?: string;
  /** Bytes and operations a second, and how many at once after a pause (a tenth of a second's). */
  readonly bytesPerSecond?: number;
  readonly bytesBurst?: number;
  readonly operationsPerSecond?: number;
  readonly operationsBurst?: number;
  readonly queues?: number;
  /** Logical block size as the guest sees it; bytes. */
  readonly blockSize?: number;
  /** False: discard and write zeroes are not offered. */
  readonly discard?: boolean;
}

const EXAMPLE = 'write it as: --disk path,ro,serial=S,cache=writeback,bps=100M,iops=1000';

function wrong(message: string, hint = EXAMPLE): VexitError {
  return new VexitError('ERR_CONFIG', message, hint);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Setter = (disk: Mutable<DiskOptions>, value: string) => void;

function choice<T extends string>(key: string, value: string, choices: readonly T[]): T {
  const found = choices.find((name) => name === value);
  if (found === undefined) {
    throw wrong(`disk: ${key}=${value} is not known`, `one of: ${choices.join(', ')}`);
  }
  return found;
}

/** A rate: more than nothing. */
function rate(key: string, value: string, unit: string): number {
  const number = parseSize(value);
  if (number === undefined) {
    throw wrong(`disk: ${key}=${value} is not a number of ${unit}`, `such as ${key}=100M`);
  }
  if (number === 0) {
    throw wrong(`disk: ${key}=0 would never let the guest do anything`, `leave ${key} out`);
  }
  return number;
}

function whole(key: string, value: string, from: number, to: number): number {
  const number = parseSize(value);
  if (number === undefined || number < from || number > to) {
    throw wrong(`disk: ${key}=${value} is not possible`, `give ${from} to ${to}`);
  }
  return number;
}

function onOff(key: string, value: string): boolean {
  return choice(key, value, ['on', 'off']) === 'on';
}

const BYTES = 'bytes a second';
const OPERATIONS = 'operations a second';

const SETTERS: Readonly<Record<string, Setter>> = {
  serial: (disk, value) => (disk.serial = value),
  cache: (disk, value) => {
    disk.cache = choice('cache', value, ['writeback', 'writethrough', 'unsafe', 'direct']);
  },
  engine: (disk, value) => (disk.engine = choice('engine', value, ['io_uring', 'threads'])),
  overlay: (disk, value) => (disk.overlay = value),
  bps: (disk, value) => (disk.bytesPerSecond = rate('bps', value, BYTES)),
  'bps-burst': (disk, value) => (disk.bytesBurst = rate('bps-burst', value, 'bytes')),
  iops: (disk, value) => (disk.operationsPerSecond = rate('iops', value, OPERATIONS)),
  'iops-burst': (disk, value) => (disk.operationsBurst = rate('iops-burst', value, 'operations')),
  queues: (disk, value) => (disk.queues = whole('queues', value, 1, 64)),
  'block-size': (disk, value) => (disk.blockSize = whole('block-size', value, 512, 65536)),
  discard: (disk, value) => (disk.discard = onOff('discard', value)),
  // There is one format, and it is never guessed; the word is for those who write it anyway.
  format: (_, value) => void choice('format', value, ['raw']),
  ro: (disk, value) => (disk.readOnly = onOff('ro', value)),
  root: (disk, value) => (disk.root = onOff('root', value)),
};

/** Settings that need no value, and what they stand for. */
const FLAGS: Readonly<Record<string, readonly [key: string, value: string]>> = {
  ro: ['ro', 'on'],
  root: ['root', 'on'],
  data: ['root', 'off'],
};

/** A setting's key and value. */
function readSetting(setting: string): readonly [string, string | undefined] {
  if (Object.hasOwn(FLAGS, setting)) return FLAGS[setting]!;
  const equals = setting.indexOf('=');
  if (equals < 0) return [setting, undefined];
  return [setting.slice(0, equals), setting.slice(equals + 1)];
}

/**
 * Reads the text of a `--disk` option. A comma in the path is written twice.
 * @throws VexitError ERR_CONFIG
 */
export function parseDiskOption(text: string): DiskOptions {
  const [path = '', ...settings] = splitCommas(text);
  if (path === '') throw wrong('disk: there is no path');
  const disk: Mutable<DiskOptions> = { path };
  const seen = new Set<string>();
  for (const setting of settings) {
    const [key, value] = readSetting(setting);
    const set = Object.hasOwn(SETTERS, key) ? SETTERS[key] : undefined;
    if (set === undefined) {
      throw wrong(`disk: ${key === '' ? 'an empty setting' : `${key} is not a setting`}`);
    }
    if (seen.has(key)) throw wrong(`disk: ${key} is given twice`, 'leave one out');
    if (value === undefined) throw wrong(`disk: ${key} needs a value`);
    if (value === '') throw wrong(`disk: ${key} is empty`);
    seen.add(key);
    set(disk, value);
  }
  checkDisk(disk);
  return disk;
}

function splitCommas(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (character === ',' && text[i + 1] !== ',') {
      parts.push(part);
      part = '';
    } else {
      part += character;
      if (character === ',') i++;
    }
  }
  return [...parts, part];
}

/**
 * Checks what needs no file; for options of the library, which come from anywhere.
 * @throws VexitError ERR_CONFIG
 */
export function checkDisk(disk: DiskOptions): void {
  const { path, serial = '', blockSize = 512, queues = 1 } = disk;
  if (path.includes('\0')) throw wrong('disk: its path has a NUL in it', 'check the path');
  if (!/^[\x20-\x7e]{0,20}$/.test(serial)) {
    throw wrong(
      `disk ${path}: serial ${JSON.stringify(serial)} is not possible`,
      'use up to 20 characters of ASCII',
    );
  }
  if (!(blockSize >= 512 && blockSize <= 65536) || !Number.isInteger(Math.log2(blockSize))) {
    throw wrong(
      `disk ${path}: a block size of ${blockSize} is not possible`,
      'use 512, 4096 or another power of two up to 65536',
    );
  }
  if (!(Number.isInteger(queues) && queues >= 1 && queues <= 64)) {
    throw wrong(`disk ${path}: ${queues} queues are not possible`, 'use 1 to 64');
  }
  checkRate(path, 'bytes', disk.bytesPerSecond, disk.bytesBurst);
  checkRate(path, 'operations', disk.operationsPerSecond, disk.operationsBurst);
}

function checkRate(path: string, what: string, perSecond?: number, burst?: number): void {
  for (const value of [perSecond, burst]) {
    if (value !== undefined && !(Number.isFinite(value) && value >= 1)) {
      throw wrong(
        `disk ${path}: a limit of ${value} ${what} would never let the guest do anything`,
        'give at least 1, or leave the limit out',
      );
    }
  }
  if (burst !== undefined && perSecond === undefined) {
    throw wrong(`disk ${path}: a burst of ${what} without a rate`, 'give bps or iops as well');
  }
}

/**
 * Checks the disks of a VM against each other.
 * @throws VexitError ERR_CONFIG
 */
export function checkDisks(disks: readonly DiskOptions[]): void {
  const serials = new Map<string, string>();
  for (const disk of disks) {
    checkDisk(disk);
    const { serial, path } = disk;
    if (serial === undefined || serial === '') continue;
    const other = serials.get(serial);
    if (other !== undefined) {
      throw wrong(
        `disks ${other} and ${path} have the same serial ${serial}`,
        'give each a serial of its own',
      );
    }
    serials.set(serial, path);
  }
}
