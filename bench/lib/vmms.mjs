// How each VMM is told to run a bench guest: debug console on standard output or error, machine
// left through the debug-exit port, 16 MiB, one vCPU.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cli } from './build.mjs';
import { QEMU } from './facts.mjs';

export const QEMU_ARGS = [
  ...['-machine', 'microvm,accel=kvm', '-m', '16M'],
  ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'null'],
  // Threads with names, so that those of vCPUs can be told apart.
  ...['-name', 'bench,debug-threads=on'],
  ...['-chardev', 'stdio,id=debug', '-device', 'isa-debugcon,iobase=0xe9,chardev=debug'],
  ...['-device', 'isa-debug-exit,iobase=0x501,iosize=1'],
];

/** Command lines by name of the VMM. `loop` is the program of baseline/kvm-run-loop.c. */
export function commands(elf, loop) {
  const run = ['run', '--kernel', elf, '--memory', '16M', '--debug-exit', '--debug-console'];
  return {
    'bare C': [loop, elf],
    vexit: [process.execPath, cli, ...run],
    'QEMU microvm': [QEMU, ...QEMU_ARGS, '-kernel', elf],
  };
}

/**
 * With --fifo, commands run in the real-time class: on a machine that others use at the same time
 * the figures then show the programs and not the neighbours.
 */
export function prefixed(command, { fifo }) {
  return fifo ? ['chrt', '-f', '5', ...command] : command;
}

/**
 * Runs a command to its end; calls `onByte` with each byte of its output, when it came
 * (CLOCK_MONOTONIC nanoseconds) and the process.
 */
export function watch(command, onByte) {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    const read = (bytes) => {
      const now = process.hrtime.bigint();
      for (const byte of bytes) onByte(byte, now, child);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', reject);
    child.once('close', resolve);
  });
}

/** Nanoseconds that all threads of a process have been on a processor. */
export function cpuTime(pid) {
  return threadsOf(pid).reduce((sum, { ran }) => sum + ran, 0);
}

/** The same of every thread but those that run a vCPU, which are told by their names. */
export function serviceTime(pid) {
  const threads = threadsOf(pid);
  const others = threads.filter(({ name }) => !/^vcpu\d+$|^CPU \d+\/KVM$/.test(name));
  if (others.length === threads.length) throw new Error(`process ${pid} has no vCPU by name`);
  return others.reduce((sum, { ran }) => sum + ran, 0);
}

/**
 * Runs a command whose guest marks begin and end of its work with 0xa1 and 0xa2, once or more times, and
 * a failure with 0xee: nanoseconds in between, by the clock and of what `spent` says of its process.
 */
export async function measuredEach(command, spent = serviceTime) {
  const times = [];
  let start;
  let ended = true;
  let failed = false;
  await watch(command, (byte, now, child) => {
    failed ||= byte === 0xee;
    if (byte !== 0xa1 && byte !== 0xa2) return;
    const wall = Number(now);
    const cpu = spent(child.pid);
    ended = byte === 0xa2;
    if (ended && start) times.push({ wall: wall - start.wall, cpu: cpu - start.cpu });
    start = ended ? undefined : { wall, cpu };
  });
  if (failed || !ended || times.length === 0) {
    throw new Error(`${command.join(' ')}: the guest did not get through`);
  }
  return times;
}

/** The same of a guest that marks one piece of work. */
export async function measured(command) {
  const [time] = await measuredEach(command);
  return time;
}

/** Name and nanoseconds on a processor of every thread of a process. */
function threadsOf(pid) {
  const task = `/proc/${pid}/task`;
  return readdirSync(task).map((tid) => ({
    name: readFileSync(`${task}/${tid}/comm`, 'utf8').trim(),
    ran: Number(readFileSync(`${task}/${tid}/schedstat`, 'utf8').split(' ')[0]),
  }));
}
