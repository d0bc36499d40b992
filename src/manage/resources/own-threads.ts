/** Shares and processors of this process's threads, where there is no cgroup for them. */
import fs from 'node:fs';
import os from 'node:os';
import { native } from '../../kvm/native.js';
import { VexitError, systemCode } from '../../util/errors.js';

/** A thread of one nice level less gets this much more (kernel/sched/core.c, sched_prio_to_weight). */
const NICE_STEP = 1.25;
const USUAL_WEIGHT = 100;

/** The nice level whose share comes nearest to a weight: 100 is 0. */
export function niceOf(weight: number): number {
  const level = -Math.log(weight / USUAL_WEIGHT) / Math.log(NICE_STEP);
  // Not -0, which Node.js takes for no integer.
  return Math.min(Math.max(Math.round(level), -20), 19) + 0;
}

/** Threads that are there; later ones begin as the one that makes them. */
function tids(): number[] {
  return fs.readdirSync('/proc/self/task').map(Number);
}

/** The system's word for an error; setPriority hides it in `info`. */
function reason(error: unknown): string | undefined {
  return systemCode((error as { info?: unknown }).info) ?? systemCode(error);
}

/** Does something to every thread; those that end meanwhile do not matter. */
function eachThread(change: (tid: number) => void): void {
  for (const tid of tids()) {
    try {
      change(tid);
    } catch (error) {
      if (reason(error) !== 'ESRCH') throw error;
    }
  }
}

/** Whether this process began its session, and so has an autogroup of its own (sched(7)). */
function leadsSession(): boolean {
  const text = fs.readFileSync('/proc/self/stat', 'latin1');
  const session = text.slice(text.lastIndexOf(')') + 2).split(' ')[3];
  return Number(session) === process.pid;
}

/** Sessions are weighed against each other first where the kernel groups by them. */
function setAutogroup(nice: number): void {
  try {
    if (leadsSession()) fs.writeFileSync('/proc/self/autogroup', String(nice));
  } catch {
    // A kernel without autogroups; or one that was told a moment ago, and keeps what it has.
  }
}

/**
 * Gives the threads a share by their nice levels.
 * @returns why that is not possible, if it is not
 */
export function setThreadWeight(weight: number): string | undefined {
  const nice = niceOf(weight);
  try {
    // Node.js's setPriority is setpriority(2), which takes threads.
    eachThread((tid) => os.setPriority(tid, nice));
  } catch (error) {
    return `nice level ${nice} is not allowed (${reason(error) ?? String(error)})`;
  }
  setAutogroup(nice);
  return undefined;
}

/** @throws VexitError ERR_CONFIG when this process may not run on any of them */
export function setThreadProcessors(cpus: readonly number[]): void {
  try {
    eachThread((tid) => native().threadAffinity(tid, [...cpus]));
  } catch (error) {
    if (systemCode(error) !== 'EINVAL') throw error;
    throw new VexitError(
      'ERR_CONFIG',
      `this host has no processor ${cpus.join(' or ')} for the VM`,
      'cat /sys/devices/system/cpu/online shows those that there are',
    );
  }
}

/** Takes the limit of processors away. */
export function freeThreadProcessors(): void {
  setThreadProcessors(Array.from({ length: 1024 }, (_, cpu) => cpu));
}
