// What a figure depends on: processor, kernel, versions, kind of KVM, how busy the machine is.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';

export const QEMU = 'qemu-system-x86_64';

function firstLine(program, args) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n', 1)[0]
      .trim();
  } catch {
    return undefined;
  }
}

export function hasProgram(program) {
  return firstLine(program, ['--version']) !== undefined;
}

export function machineFacts() {
  const pvm = existsSync('/sys/module/kvm_pvm');
  const hardware = existsSync('/sys/module/kvm_intel') ? 'VT-x' : 'AMD-V';
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cpus: os.availableParallelism(),
    kernel: os.release(),
    node: process.version,
    qemu: firstLine(QEMU, ['--version']),
    kvm: pvm ? 'kvm-pvm' : hardware,
    date: new Date().toISOString().slice(0, 10),
    load: os.loadavg()[0].toFixed(1),
  };
}

export function factsLine(facts) {
  const { cpu, cpus, kernel, node, qemu, kvm, date, load } = facts;
  return `${date}: ${cpu}, ${cpus} CPUs, Linux ${kernel}, ${kvm}, Node.js ${node}, ${qemu ?? 'no QEMU'}, load ${load}`;
}
