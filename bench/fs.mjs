// virtio-fs: the same guest driver (guests/fs.c) on the same directory, served by vexit and by virtiofsd
// for QEMU microvm, alternated. Files are in the page cache: what is compared is the way of a request from
// the queue to the host's file system and back. One boot of the guest goes through all loads of a share;
// files are made on a tmpfs, because ext4 is the slower the more have been made and removed lately.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import path from 'node:path';
import { cli, guest, scratch } from './lib/build.mjs';
import { hasProgram, QEMU } from './lib/facts.mjs';
import { fixed, summary, table } from './lib/stats.mjs';
import { QEMU_ARGS, cpuTime, measuredEach, prefixed, serviceTime } from './lib/vmms.mjs';

const VIRTIOFSD = '/usr/lib/qemu/virtiofsd';
const TMPFS = '/dev/shm';
const FILE_BYTES = 64 * 2 ** 20;
const NAMES = 1000;
const MEMORY = '64M';
const TAG = 'bench';
const KIB = 1024;
const MIB = 2 ** 20;

const Opcode = { LOOKUP: 1, GETATTR: 3, READ: 15, WRITE: 16, CREATE: 35, READDIRPLUS: 44 };
/** Requests of one round where it is more than one for each of `depth`: guests/fs.c. */
const CREATE_REQUESTS = 4;
/** OPENDIR, pages of 25 names and one without, RELEASEDIR. */
const LIST_REQUESTS = 3 + Math.ceil((NAMES + 2) / 25);

/**
 * `requests` at `--iterations` 50000, and half of that before the clock starts: meanwhile V8 compiles.
 * The first load waits for longer: for what all requests have in common, and for the huge pages that memory
 * of bulk I/O gets.
 */
const LOADS = [
  { name: 'READ 1 MiB', opcode: Opcode.READ, size: MIB, depth: 16, requests: 1600, first: true },
  {
    name: 'READ 4 KiB',
    opcode: Opcode.READ,
    size: 4 * KIB,
    depth: 16,
    requests: 30000,
    first: true,
  },
  { name: 'READ 128 KiB', opcode: Opcode.READ, size: 128 * KIB, depth: 1, requests: 4000 },
  { name: 'READ 128 KiB', opcode: Opcode.READ, size: 128 * KIB, depth: 16, requests: 8000 },
  { name: 'READ 1 MiB', opcode: Opcode.READ, size: MIB, depth: 1, requests: 1000 },
  { name: 'WRITE 4 KiB', opcode: Opcode.WRITE, size: 4 * KIB, depth: 16, requests: 20000 },
  { name: 'WRITE 128 KiB', opcode: Opcode.WRITE, size: 128 * KIB, depth: 1, requests: 4000 },
  { name: 'WRITE 128 KiB', opcode: Opcode.WRITE, size: 128 * KIB, depth: 16, requests: 6000 },
  { name: 'WRITE 1 MiB', opcode: Opcode.WRITE, size: MIB, depth: 1, requests: 1000 },
  { name: 'WRITE 1 MiB', opcode: Opcode.WRITE, size: MIB, depth: 16, requests: 1600 },
  { name: 'GETATTR', opcode: Opcode.GETATTR, size: 0, depth: 1, requests: 10000 },
  { name: 'GETATTR', opcode: Opcode.GETATTR, size: 0, depth: 16, requests: 40000 },
  { name: 'LOOKUP', opcode: Opcode.LOOKUP, size: 0, depth: 1, requests: 10000 },
  { name: 'LOOKUP', opcode: Opcode.LOOKUP, size: 0, depth: 16, requests: 30000 },
  {
    name: 'CREATE, RELEASE, UNLINK, FORGET',
    ...{ opcode: Opcode.CREATE, size: 0, depth: 1, requests: 12000, each: CREATE_REQUESTS },
    ...{ inMemory: true, first: true },
  },
  {
    name: `READDIRPLUS of ${NAMES} names`,
    ...{ opcode: Opcode.READDIRPLUS, size: 0, depth: 1, requests: 1320, each: LIST_REQUESTS },
  },
];

/** The loads with their numbers of rounds, and requests in them. */
function plan({ iterations }) {
  return LOADS.map((load) => {
    const { requests, depth, each = depth } = load;
    const rounds = Math.max(2, Math.round((requests / each) * (iterations / 50_000)));
    const warmup = Math.ceil(rounds * (load.first ? 2 : 0.5));
    return { ...load, rounds, warmup, requests: rounds * each };
  });
}

/** Fills a directory with what guests/fs.c expects. */
function makeShare(share) {
  const names = path.join(share, 'names');
  mkdirSync(names, { recursive: true });
  writeFileSync(path.join(share, 'file'), Buffer.alloc(FILE_BYTES, 'vexit'));
  for (let i = 0; i < NAMES; i++) {
    writeFileSync(path.join(names, `name${String(i).padStart(4, '0')}`), '');
  }
  return share;
}

/** All processes below one. */
function descendants(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return children.filter(Boolean).flatMap((child) => [Number(child), ...descendants(child)]);
}

/** Runs virtiofsd while something uses it. It does its requests itself unless it is given a pool. */
async function withVirtiofsd(share, use) {
  const socket = scratch('virtiofsd.sock');
  const args = [`--socket-path=${socket}`, '-f', '-o', `source=${share}`, '-o', 'cache=auto'];
  const daemon = spawn(VIRTIOFSD, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  daemon.stderr.on('data', (bytes) => (said += bytes));
  const ended = new Promise((resolve) => daemon.once('close', resolve));
  try {
    for (let i = 0; i < 200 && !existsSync(socket); i++) await sleep(10);
    if (!existsSync(socket)) throw new Error(`virtiofsd does not start: ${said}`);
    return await use(socket, () =>
      [daemon.pid, ...descendants(daemon.pid)].reduce((sum, pid) => sum + cpuTime(pid), 0),
    );
  } finally {
    daemon.kill('SIGTERM');
    await ended;
    rmSync(socket, { force: true });
  }
}

function waysOf(elf, share, options) {
  const vexit = [
    ...[process.execPath, cli, 'run', '--kernel', elf, '--boot-protocol', 'pvh'],
    ...['--memory', MEMORY, '--debug-exit', '--debug-console', '--share', `${share}:/${TAG}`],
  ];
  const memory = ['-object', `memory-backend-memfd,id=mem,size=${MEMORY},share=on`];
  const qemu = (socket) => [
    ...[QEMU, ...QEMU_ARGS, '-m', MEMORY, ...memory, '-machine', 'memory-backend=mem'],
    ...['-global', 'virtio-mmio.force-legacy=false', '-chardev', `socket,id=c0,path=${socket}`],
    ...['-device', `vhost-user-fs-device,chardev=c0,tag=${TAG}`, '-kernel', elf],
  ];
  const ways = { vexit: () => measuredEach(prefixed(vexit, options)) };
  if (!hasProgram(QEMU) || !existsSync(VIRTIOFSD)) return ways;
  ways['QEMU, virtiofsd'] = () =>
    withVirtiofsd(share, (socket, daemonTime) =>
      measuredEach(prefixed(qemu(socket), options), (pid) => serviceTime(pid) + daemonTime()),
    );
  return ways;
}

async function measure(loads, share, options) {
  const list = loads.map(({ opcode, size, depth, warmup, rounds }) =>
    [opcode, size, depth, warmup, rounds].join(','),
  );
  const macros = { LOADS: list.map((fields) => `{${fields}}`).join(','), NAMES };
  const elf = guest('fs', { ...macros, FILE_BYTES: `${FILE_BYTES}u` });
  const ways = waysOf(elf, share, options);
  const names = Object.keys(ways);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      times[name].push(await ways[name]());
    }
  }
  return loads.map((load, i) => {
    const vmms = names.map((name) => {
      const all = times[name].map((loadTimes) => loadTimes[i]);
      const perSecond = summary(all.map(({ wall }) => (load.requests / wall) * 1e9));
      return [
        name,
        { perSecond, cpuPerRequest: summary(all.map(({ cpu }) => cpu / load.requests / 1000)) },
      ];
    });
    return { ...load, vmms: Object.fromEntries(vmms) };
  });
}

export async function fsSpeed(options) {
  const loads = plan(options);
  const inMemory = mkdtempSync(path.join(existsSync(TMPFS) ? TMPFS : tmpdir(), 'vexit-bench-'));
  try {
    const results = [
      ...(await measure(
        loads.filter((load) => !load.inMemory),
        makeShare(scratch('share')),
        options,
      )),
      ...(await measure(
        loads.filter((load) => load.inMemory),
        makeShare(inMemory),
        options,
      )),
    ];
    print(results);
    return results;
  } finally {
    rmSync(inMemory, { recursive: true, force: true });
  }
}

function print(results) {
  console.log('\n## virtio-fs (median of rounds; vexit as a ratio to the VMM)\n');
  const head = [
    'load',
    'depth',
    'VMM',
    'requests/s',
    'MB/s',
    'vexit /',
    'service CPU us',
    '/ vexit',
  ];
  const rows = results.flatMap(({ name, depth, size, vmms }) =>
    Object.entries(vmms).map(([vmm, { perSecond, cpuPerRequest }]) => [
      ...[name, depth, vmm, fixed(perSecond.median, 0)],
      size > 0 ? fixed((perSecond.median * size) / 1e6, 0) : '-',
      fixed(vmms.vexit.perSecond.median / perSecond.median),
      fixed(cpuPerRequest.median),
      fixed(cpuPerRequest.median / vmms.vexit.cpuPerRequest.median),
    ]),
  );
  console.log(table(head, rows));
}
