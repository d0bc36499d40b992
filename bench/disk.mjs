// virtio-blk over MMIO: the same guest driver (guests/disk.c) on the same raw file, under vexit and
// under QEMU microvm with and without an I/O thread, alternated. The file is in the page cache: what
// is compared is the way of a request through the VMM. Never in the real-time class: a vCPU and an I/O
// thread that poll would keep the kernel's worker threads, and everybody else, off two processors.
import { cli, filledFile, guest } from './lib/build.mjs';
import { hasProgram, QEMU } from './lib/facts.mjs';
import { fixed, summary, table } from './lib/stats.mjs';
import { QEMU_ARGS, measured } from './lib/vmms.mjs';

const FILE_BYTES = 64 * 2 ** 20;
const MEMORY = '64M';

/**
 * What the guest does; `requests` in one run is rounds * depth. V8 compiles the way of a request while
 * the first tens of thousands go it, in 0.1 s of other threads that would be most of a short run's CPU
 * time: WARMUP rounds of small requests come before the clock starts, with every VMM.
 */
const SMALL = { BLOCK: 4096, WARMUP: 2000 };
const LOADS = [
  { name: '4 KiB random reads, depth 32', ...SMALL, DEPTH: 32, rounds: 1 },
  { name: '4 KiB random writes, depth 32', ...SMALL, DEPTH: 32, WRITE: 1, rounds: 1 },
  { name: '4 KiB random reads, depth 1', ...SMALL, DEPTH: 1, WARMUP: 20000, rounds: 8 },
  {
    name: '1 MiB sequential reads, depth 32',
    DEPTH: 32,
    BLOCK: 2 ** 20,
    SEQUENTIAL: 1,
    rounds: 1 / 32,
  },
  {
    name: '1 MiB sequential writes, depth 32',
    ...{ DEPTH: 32, BLOCK: 2 ** 20, SEQUENTIAL: 1, WRITE: 1, rounds: 1 / 32 },
  },
];

function commandsFor(elf, file) {
  const drive = ['-drive', `id=d0,file=${file},format=raw,if=none,cache=writeback,aio=io_uring`];
  const qemu = [QEMU, ...QEMU_ARGS, '-m', MEMORY, '-global', 'virtio-mmio.force-legacy=false'];
  const kernel = ['-kernel', elf];
  const device = 'virtio-blk-device,drive=d0';
  return {
    vexit: [
      ...[process.execPath, cli, 'run', '--kernel', elf, '--boot-protocol', 'pvh'],
      ...['--memory', MEMORY, '--debug-exit', '--debug-console', '--disk', file],
    ],
    'QEMU microvm': [...qemu, ...drive, '-device', device, ...kernel],
    'QEMU, I/O thread': [
      ...[...qemu, ...drive, '-object', 'iothread,id=io0'],
      ...['-device', `${device},iothread=io0`, ...kernel],
    ],
  };
}

export async function diskSpeed(options) {
  const file = filledFile('disk.raw', FILE_BYTES);
  const results = {};
  for (const { name, rounds: scale, ...macros } of LOADS) {
    const rounds = Math.max(1, Math.round((options.iterations / 32) * scale));
    const elf = guest('disk', { ...macros, ROUNDS: rounds });
    const all = commandsFor(elf, file);
    const names = Object.keys(all).filter((vmm) => vmm === 'vexit' || hasProgram(QEMU));
    const times = Object.fromEntries(names.map((vmm) => [vmm, []]));
    for (let round = 0; round < options.rounds; round++) {
      for (const vmm of round % 2 === 0 ? names : names.toReversed()) {
        times[vmm].push(await measured(all[vmm]));
      }
    }
    const requests = rounds * macros.DEPTH;
    results[name] = Object.fromEntries(
      names.map((vmm) => [
        vmm,
        {
          perSecond: summary(times[vmm].map(({ wall }) => (requests / wall) * 1e9)),
          mibPerSecond: summary(
            times[vmm].map(({ wall }) => (((requests * macros.BLOCK) / wall) * 1e9) / 2 ** 20),
          ),
          cpuPerRequest: summary(times[vmm].map(({ cpu }) => cpu / requests / 1000)),
        },
      ]),
    );
  }
  print(results);
  return results;
}

function print(results) {
  console.log('\n## virtio-blk (median of rounds; vexit as a ratio to the VMM)\n');
  const head = ['load', 'VMM', 'requests/s', 'MiB/s', 'vexit /', 'service CPU us/request'];
  const rows = Object.entries(results).flatMap(([load, vmms]) =>
    Object.entries(vmms).map(([vmm, { perSecond, mibPerSecond, cpuPerRequest }]) => [
      ...[load, vmm, fixed(perSecond.median, 0), fixed(mibPerSecond.median, 0)],
      fixed(vmms.vexit.perSecond.median / perSecond.median),
      fixed(cpuPerRequest.median),
    ]),
  );
  console.log(table(head, rows));
}
