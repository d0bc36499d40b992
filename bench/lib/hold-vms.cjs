// hold-vms.cjs index.js guest.elf N: holds up to N running VMs; prints what the process holds in
// memory with 0, 1, 2... of them as JSON.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');
const { memoryOf } = require('./process-memory.cjs');

const [index, kernel, count] = process.argv.slice(2);
/** Time for a VM to start and come to rest in its HLT. */
const SETTLE_MS = 500;

async function main() {
  const { VirtualMachine } = require(index);
  const steps = [memoryOf('self')];
  const vms = [];
  for (let i = 0; i < Number(count); i++) {
    const vm = await VirtualMachine.create({ kernel, memory: '16M', cmdline: '' });
    await vm.start();
    vms.push(vm);
    await sleep(SETTLE_MS);
    steps.push(memoryOf('self'));
  }
  process.stdout.write(JSON.stringify(steps));
  for (const vm of vms) await vm.stop();
}

void main();
