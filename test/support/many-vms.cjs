// A host program that makes, starts and stops VMs one after the other, and prints as JSON what the process
// holds after each tenth of them. Arguments: the built library, a kernel, how many.
const { readFileSync, readdirSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');

const [, , library, kernel, count] = process.argv;
const { VirtualMachine } = require(library);

const OPTIONS = {
  ...{ kernel, memory: '16M', cpus: 2, cmdline: 'do=S', rng: true, balloon: true },
  net: [{ kind: 'user' }, { kind: 'lan', lan: 'many' }],
  vsock: true,
};

function held() {
  const lines = (file) => readFileSync(file, 'latin1').trim().split('\n');
  return {
    files: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    mappings: lines('/proc/self/maps').length,
    // Guest memory, ROMs, the pages of vCPUs: what a VM maps.
    guestMappings: lines('/proc/self/maps').filter((line) => /memfd:|anon_inode/.test(line)).length,
    resident: process.memoryUsage.rss(),
  };
}

async function one(i) {
  const vm = await VirtualMachine.create({ ...OPTIONS, name: `many-${i}` });
  await vm.start();
  // Some are stopped while they start.
  if (i % 3 !== 0) await sleep(20);
  await vm.stop();
}

async function main() {
  const samples = [];
  for (let i = 0; i < Number(count); i++) {
    await one(i);
    if ((i + 1) % Math.max(1, count / 10) !== 0) continue;
    // Views of memory that has been given back go with the garbage.
    globalThis.gc();
    await sleep(50);
    globalThis.gc();
    samples.push(held());
  }
  console.log(JSON.stringify(samples));
}

void main();
