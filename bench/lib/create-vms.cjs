// create-vms.cjs index.js guest.elf N: makes, starts and stops N VMs, one after the other; prints
// the milliseconds each took as JSON.
'use strict';

const [index, kernel, count] = process.argv.slice(2);
const clock = () => Number(process.hrtime.bigint()) / 1e6;

async function measure(VirtualMachine) {
  const start = clock();
  const vm = await VirtualMachine.create({ kernel, memory: '16M', cmdline: '' });
  const create = clock() - start;
  await vm.start();
  while (vm.firstRunTime === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const firstRun = vm.firstRunTime / 1e6 - start;
  await vm.stop();
  return { create, firstRun };
}

async function main() {
  const start = clock();
  const { VirtualMachine } = require(index);
  const load = clock() - start;
  const vms = [];
  for (let i = 0; i < Number(count); i++) vms.push(await measure(VirtualMachine));
  process.stdout.write(JSON.stringify({ load, vms }));
}

void main();
