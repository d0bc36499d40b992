// virtio-vsock: a stream between a guest (guests/vsock.c) and a unix socket of the host, beside a program
// in C that has the socket to itself (baseline/unix-stream.c), alternated. QEMU has no device of its own to
// compare with, only the kernel's vhost-vsock.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { baseline, cli, guest, scratch } from './lib/build.mjs';
import { fixed, summary, table } from './lib/stats.mjs';
import { measured, prefixed } from './lib/vmms.mjs';

const LOADS = [
  { name: 'guest to host', RECEIVE: 0, peer: 'sink', alone: 'write' },
  { name: 'host to guest', RECEIVE: 1, peer: 'source', alone: 'read' },
];
/** Of the guest's connection, in guests/vsock.c. */
const PORT = 52;
/** Bytes for each of `--iterations`. */
const BYTES = 40_000;
const LIMIT = 2e9;

function runAlone(command) {
  const [program, ...args] = command;
  const [wall, cpu] = execFileSync(program, args, { encoding: 'utf8' }).split(' ').map(Number);
  return { wall, cpu };
}

async function measure(program, { name, RECEIVE, peer, alone }, options) {
  const socket = scratch('vsock');
  const path = `${socket}_${PORT}`;
  const bytes = Math.min(LIMIT, options.iterations * BYTES);
  const elf = guest('vsock', { RECEIVE, BYTES: `${bytes}u`, WARMUP: `${bytes}u` });
  const run = ['run', '--kernel', elf, '--boot-protocol', 'pvh', '--memory', '64M'];
  const debug = ['--debug-exit', '--debug-console', '--net', 'none', '--vsock', `path=${socket}`];
  const ways = {
    vexit: () => measured(prefixed([process.execPath, cli, ...run, ...debug], options)),
    'C, without a guest': () =>
      runAlone(prefixed([program, alone, path, String(bytes), String(bytes)], options)),
  };
  const times = { vexit: [], 'C, without a guest': [] };
  const server = spawn(program, [peer, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(server.stdout, 'data');
    for (let round = 0; round < options.rounds; round++) {
      const names = Object.keys(ways);
      for (const way of round % 2 === 0 ? names : names.toReversed()) {
        times[way].push(await ways[way]());
      }
    }
  } finally {
    server.kill('SIGKILL');
    rmSync(path, { force: true });
  }
  const results = Object.entries(times).map(([way, all]) => [
    way,
    {
      perSecond: summary(all.map(({ wall }) => (bytes / wall) * 1000)),
      cpuPerByte: summary(all.map(({ cpu }) => cpu / bytes)),
    },
  ]);
  return [name, Object.fromEntries(results)];
}

export async function vsockSpeed(options) {
  const program = baseline('unix-stream');
  const results = [];
  for (const load of LOADS) results.push(await measure(program, load, options));
  console.log('\n## virtio-vsock, one stream (median of rounds)\n');
  const head = ['load', 'who', 'MB/s', 'vexit /', 'CPU ns/byte', '/ vexit'];
  const rows = results.flatMap(([load, ways]) =>
    Object.entries(ways).map(([way, { perSecond, cpuPerByte }]) => [
      ...[load, way, fixed(perSecond.median, 0)],
      fixed(ways.vexit.perSecond.median / perSecond.median),
      ...[fixed(cpuPerByte.median, 3), fixed(cpuPerByte.median / ways.vexit.cpuPerByte.median)],
    ]),
  );
  console.log(table(head, rows));
  return Object.fromEntries(results);
}
