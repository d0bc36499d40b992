/** The two files of a VM: what it is (config.json), and how it is (state.json). */
import type { VirtualMachineOptions } from '../machine/config.js';
import type { ExitReason } from '../machine/exit-report.js';
import { VexitError } from '../util/errors.js';
import type { HealthCheck } from './health/health-check.js';
import type { Health } from './health/health-state.js';
import { bootId, processStart } from './host-identity.js';
import type { ResourceLimits } from './resources/limits.js';
import type { RestartPolicy } from './restart-policy.js';
import { DAMAGED_HINT } from './state-file.js';

/** What a VM is in its project. */
export interface ProjectMember {
  readonly name: string;
  /** The VM's name in the file. */
  readonly vm: string;
  /** Of what the file says about it: another one means that it has changed. */
  readonly hash: string;
  /** The VMs of the project that it depends on, by their names in the file. */
  readonly dependsOn: readonly string[];
  /** How long its guest has to power off. */
  readonly stopMs?: number;
}

/** What a VM was created with. */
export interface VmConfig {
  readonly version: 1;
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  /** What relative paths in the options are relative to. */
  readonly directory: string;
  readonly restart: RestartPolicy;
  /** The VM is removed when it has ended (`--rm`). */
  readonly autoRemove: boolean;
  /** False: a foreground `vexit run --name`, which is the VM's process itself. */
  readonly detached: boolean;
  /** What goes to the log besides the console. */
  readonly log?: { readonly firmware?: boolean; readonly debug?: boolean };
  /** How it is found out whether the VM does what it is there for. */
  readonly health?: HealthCheck;
  /** Of a VM that `vexit up` has made. */
  readonly project?: ProjectMember;
  readonly options: VirtualMachineOptions;
  readonly resources?: ResourceLimits;
}

const STATUSES = ['created', 'starting', 'running', 'paused', 'restarting', 'exited'] as const;
/** Where a VM is; all but the first and the last have a process. */
export type VmStatus = (typeof STATUSES)[number];

/** Why a VM has ended: the guest's reasons, and those of the VM's process. */
export type VmExitReason =
  | ExitReason
  /** By `vexit kill`, or by `vexit stop` when its time was over. */
  | 'killed'
  /** It could not be started. */
  | 'start-failed'
  /** It had more memory than its limit. */
  | 'memory-limit'
  /** Its process was ended from outside: SIGKILL, out of memory. */
  | 'process-killed'
  /** The host has been booted since. */
  | 'host-reboot';

/** The end of a VM. */
export interface VmExit {
  readonly reason: VmExitReason;
  readonly status: number;
  readonly message: string;
}

/** How a VM is. */
export interface VmRecord {
  readonly version: 1;
  readonly status: VmStatus;
  /** The VM's process; only a hint: the lock says whether there is one. */
  readonly pid?: number;
  /** Of the process, in clock ticks after boot. */
  readonly processStart?: number;
  /** The boot of the host that the process belongs to. */
  readonly bootId?: string;
  /** The cgroup of the process, if it has one of its own. */
  readonly cgroup?: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  /** How many times the policy has started it again. */
  readonly restarts: number;
  readonly exit?: VmExit;
  /** Of a VM that runs and has a health check. */
  readonly health?: Health;
}

export const NEW_RECORD: VmRecord = { version: 1, status: 'created', restarts: 0 };

/** Statuses of a VM that has a process, if nothing has happened to that. */
export function isActive(status: VmStatus): boolean {
  return status !== 'created' && status !== 'exited';
}

type Fields = Readonly<Record<string, unknown>>;

function damaged(file: string, what: string): VexitError {
  return new VexitError('ERR_STORE', `${file} is damaged: ${what}`, DAMAGED_HINT);
}

function checkVersion(file: string, { version }: Fields): void {
  if (typeof version === 'number' && version > 1) {
    throw new VexitError(
      'ERR_STORE',
      `${file} was written by a newer vexit`,
      'use that version for this VM',
    );
  }
  if (version !== 1) throw damaged(file, '"version" is missing');
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPolicy(value: unknown): value is RestartPolicy {
  if (!isObject(value)) return false;
  const { name, max } = value;
  const known = name === 'no' || name === 'always' || name === 'on-failure';
  return known && (max === undefined || (Number.isInteger(max) && (max as number) > 0));
}

function isExit(value: unknown): value is VmExit {
  if (!isObject(value)) return false;
  const { reason, status, message } = value;
  return typeof reason === 'string' && typeof status === 'number' && typeof message === 'string';
}

function isMember(value: unknown): value is ProjectMember {
  if (!isObject(value)) return false;
  const { name, vm, hash, dependsOn, stopMs } = value;
  const texts = [name, vm, hash].every((one) => typeof one === 'string');
  const names = Array.isArray(dependsOn) && dependsOn.every((one) => typeof one === 'string');
  return texts && names && (stopMs === undefined || typeof stopMs === 'number');
}

/** @throws VexitError ERR_STORE for what is not the configuration of a VM */
export function checkVmConfig(file: string, fields: Fields): VmConfig {
  checkVersion(file, fields);
  for (const key of ['id', 'created', 'directory'] as const) {
    if (typeof fields[key] !== 'string') throw damaged(file, `"${key}" is no text`);
  }
  for (const key of ['autoRemove', 'detached'] as const) {
    if (typeof fields[key] !== 'boolean') throw damaged(file, `"${key}" is not true or false`);
  }
  if (!isPolicy(fields.restart)) throw damaged(file, '"restart" is no restart policy');
  if (fields.log !== undefined && !isObject(fields.log)) throw damaged(file, '"log" is no object');
  if (fields.health !== undefined && !isObject(fields.health)) {
    throw damaged(file, '"health" is no object');
  }
  if (fields.project !== undefined && !isMember(fields.project)) {
    throw damaged(file, '"project" is not what a VM is in one');
  }
  if (!isObject(fields.options)) throw damaged(file, '"options" are missing');
  if (fields.resources !== undefined && !isObject(fields.resources)) {
    throw damaged(file, '"resources" is no object');
  }
  return fields as unknown as VmConfig;
}

/** @throws VexitError ERR_STORE for what is not the state of a VM */
export function checkVmRecord(file: string, fields: Fields): VmRecord {
  checkVersion(file, fields);
  if (!STATUSES.includes(fields.status as VmStatus)) throw damaged(file, '"status" is not known');
  for (const key of ['pid', 'processStart', 'restarts'] as const) {
    const value = fields[key];
    if (value === undefined && key !== 'restarts') continue;
    if (!Number.isSafeInteger(value) || (value as number) < 0) {
      throw damaged(file, `"${key}" is no number`);
    }
  }
  for (const key of ['bootId', 'cgroup', 'startedAt', 'finishedAt'] as const) {
    if (fields[key] !== undefined && typeof fields[key] !== 'string') {
      throw damaged(file, `"${key}" is no text`);
    }
  }
  if (fields.exit !== undefined && !isExit(fields.exit)) throw damaged(file, '"exit" is no end');
  if (fields.health !== undefined && !isObject(fields.health)) {
    throw damaged(file, '"health" is no object');
  }
  return fields as unknown as VmRecord;
}

/** The state of a VM that this process is about to start. */
export function startingRecord(): VmRecord {
  const start = processStart(process.pid);
  return {
    version: 1,
    status: 'starting',
    pid: process.pid,
    ...(start === undefined ? {} : { processStart: start }),
    bootId: bootId(),
    restarts: 0,
  };
}

/**
 * Refuses options that cannot be written down, such as functions and streams.
 * @throws VexitError ERR_CONFIG that names the option
 */
export function checkPlain(value: unknown, at = 'options'): void {
  if (['string', 'number', 'boolean', 'undefined'].includes(typeof value) || value === null) return;
  if (Array.isArray(value)) {
    value.forEach((item, i) => checkPlain(item, `${at}[${i}]`));
    return;
  }
  const prototype: unknown = typeof value === 'object' ? Object.getPrototypeOf(value) : undefined;
  // A caller in another realm, such as a test, has an Object of its own.
  if (isObject(value) && (prototype === null || Object.getPrototypeOf(prototype) === null)) {
    for (const [key, item] of Object.entries(value)) checkPlain(item, `${at}.${key}`);
    return;
  }
  throw new VexitError(
    'ERR_CONFIG',
    `${at} cannot be kept in a file`,
    'a managed VM has plain data only: text, numbers, lists and objects of them',
  );
}
