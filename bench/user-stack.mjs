// The user network against QEMU's (slirp): bulk TCP between a guest (guests/tcp.c) and a server of the
// host (baseline/tcp-peer.c), alternated. "segments" are frames of 1514 bytes with checksums, all that
// slirp has; "offloads" are those of 64 KiB without, which a guest's driver takes where it can.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { baseline, cli, guest } from './lib/build.mjs';
import { hasProgram, QEMU } from './lib/facts.mjs';
import { fixed, summary, table } from './lib/stats.mjs';
import { QEMU_ARGS, measured, prefixed } from './lib/vmms.mjs';

const MEMORY = '64M';
const LOADS = [
  { name: 'guest to host', RECEIVE: 0, peer: 'sink' },
  { name: 'host to guest', RECEIVE: 1, peer: 'source' },
];
/** Bytes for each of `--iterations`; segments are a frame each, and cost the guest more. */
const BYTES = { segments: 4000, offloads: 40_000 };
const LIMIT = 2e9;

const vexit = (elf) => [
  ...[process.execPath, cli, 'run', '--kernel', elf, '--boot-protocol', 'pvh'],
  ...['--memory', MEMORY, '--debug-exit', '--debug-console', '--net', 'user'],
];
const qemu = (elf) => [
  ...[QEMU, ...QEMU_ARGS, '-m', MEMORY, '-global', 'virtio-mmio.force-legacy=false'],
  ...['-netdev', 'user,id=n0', '-device', 'virtio-net-device,netdev=n0', '-kernel', elf],
];
const VMMS = [
  { vmm: 'vexit, offloads', frames: 'offloads', OFFLOAD: 1, command: vexit },
  { vmm: 'vexit, segments', frames: 'segments', OFFLOAD: 0, command: vexit },
  { vmm: 'QEMU slirp, segments', frames: 'segments', OFFLOAD: 0, command: qemu },
];

/** Runs `use` with the port of a server. */
async function withPeer(program, kind, use) {
  const peer = spawn(program, [kind], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = await once(peer.stdout, 'data');
    return await use(Number(line));
  } finally {
    peer.kill('SIGKILL');
  }
}

async function measure(port, { name, RECEIVE }, options) {
  const vmms = VMMS.filter(({ command }) => command === vexit || hasProgram(QEMU)).map(
    ({ vmm, frames, OFFLOAD, command }) => {
      const bytes = Math.min(LIMIT, options.iterations * BYTES[frames]);
      const warmup = Math.min(LIMIT, Math.ceil(bytes / 2));
      const macros = { RECEIVE, OFFLOAD, PORT: port, BYTES: `${bytes}u`, WARMUP: `${warmup}u` };
      return { vmm, bytes, command: command(guest('tcp', macros)), times: [] };
    },
  );
  for (let round = 0; round < options.rounds; round++) {
    for (const { command, times } of round % 2 === 0 ? vmms : vmms.toReversed()) {
      times.push(await measured(prefixed(command, options)));
    }
  }
  const results = vmms.map(({ vmm, bytes, times }) => [
    vmm,
    {
      perSecond: summary(times.map(({ wall }) => (bytes / wall) * 1000)),
      cpuPerByte: summary(times.map(({ cpu }) => cpu / bytes)),
      perCpuSecond: summary(times.map(({ cpu }) => (bytes / cpu) * 1000)),
    },
  ]);
  return [name, Object.fromEntries(results)];
}

export async function userStack(options) {
  const program = baseline('tcp-peer');
  const results = [];
  for (const load of LOADS) {
    results.push(await withPeer(program, load.peer, (port) => measure(port, load, options)));
  }
  print(results);
  return Object.fromEntries(results);
}

function print(results) {
  console.log('\n## User network, bulk TCP (median of rounds; each as a ratio to the last)\n');
  const head = ['load', 'VMM', 'MB/s', '/ slirp', 'service CPU ns/byte', 'MB/CPU s', '/ slirp'];
  const rows = results.flatMap(([load, vmms]) => {
    const last = Object.values(vmms).at(-1);
    return Object.entries(vmms).map(([vmm, { perSecond, cpuPerByte, perCpuSecond }]) => [
      ...[load, vmm, fixed(perSecond.median, 0)],
      fixed(perSecond.median / last.perSecond.median),
      ...[fixed(cpuPerByte.median, 3), fixed(perCpuSecond.median, 0)],
      fixed(perCpuSecond.median / last.perCpuSecond.median),
    ]);
  });
  console.log(table(head, rows));
}
