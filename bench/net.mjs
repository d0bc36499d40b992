// virtio-net over a TAP device: the same guest driver (guests/net.c) under vexit and under QEMU microvm,
// alternated, on one tap that the host's stack drops everything from. To the guest, baseline/send-frames.c
// puts more on the tap than anybody takes. What is compared is the way of a frame through the VMM.
import { execFileSync, spawn } from 'node:child_process';
import { baseline, cli, guest } from './lib/build.mjs';
import { hasProgram, QEMU } from './lib/facts.mjs';
import { fixed, summary, table } from './lib/stats.mjs';
import { QEMU_ARGS, measured, prefixed } from './lib/vmms.mjs';

const MEMORY = '64M';
const TAP = `vxbench${process.pid % 10_000}`;
const BATCH = 64;
/** Batches before the clock starts: until then V8 compiles, which takes CPU time of its own. */
const WARMUP = 3000;
/** 44 segments of 1460 bytes; the guest's buffers for one are 16 pages. */
const LONG = 54 + 44 * 1460;

/** `entries` of the ring for one frame; `scale` for the number of batches. */
const LOADS = [
  { name: '64 B to the host', FRAME: 64, RECEIVE: 0, entries: 1, scale: 1 },
  { name: '1514 B to the host', FRAME: 1514, RECEIVE: 0, entries: 1, scale: 1 },
  { name: '64 KiB TSO to the host', FRAME: LONG, RECEIVE: 0, entries: 1, scale: 1 / 2 },
  { name: '64 B to the guest', FRAME: 64, RECEIVE: 1, entries: 1, scale: 1 },
  { name: '1514 B to the guest', FRAME: 1514, RECEIVE: 1, entries: 1, scale: 1 },
  { name: '64 KiB TSO to the guest', FRAME: LONG, RECEIVE: 1, entries: 16, scale: 1 },
];

function commandsFor(elf) {
  const kernel = ['-kernel', elf];
  const netdev = `tap,id=n0,ifname=${TAP},script=no,downscript=no,vnet_hdr=on`;
  return {
    vexit: [
      ...[process.execPath, cli, 'run', '--kernel', elf, '--boot-protocol', 'pvh'],
      ...['--memory', MEMORY, '--debug-exit', '--debug-console', '--net', `tap=${TAP}`],
    ],
    'QEMU microvm': [
      ...[QEMU, ...QEMU_ARGS, '-m', MEMORY, '-global', 'virtio-mmio.force-legacy=false'],
      ...['-netdev', netdev, '-device', 'virtio-net-device,netdev=n0', ...kernel],
    ],
  };
}

async function runOnce(command, source) {
  const sender = source === undefined ? undefined : spawn(source[0], source.slice(1));
  try {
    return await measured(command);
  } finally {
    sender?.kill('SIGKILL');
  }
}

function withTap(use) {
  const ip = (...args) => execFileSync('ip', args);
  ip('tuntap', 'add', 'dev', TAP, 'mode', 'tap');
  const quiet = `/proc/sys/net/ipv6/conf/${TAP}/disable_ipv6`;
  execFileSync('sh', ['-c', `echo 1 > ${quiet} || true`]);
  ip('link', 'set', TAP, 'up');
  return use().finally(() => ip('link', 'del', TAP));
}

async function measure(options) {
  const send = baseline('send-frames');
  const results = {};
  for (const { name, entries, scale, ...macros } of LOADS) {
    const batches = Math.max(16, Math.round((options.iterations / 16) * scale));
    const elf = guest('net', { ...macros, BATCH, BATCHES: batches, WARMUP });
    const source = macros.RECEIVE === 1 ? [send, TAP, String(macros.FRAME)] : undefined;
    const all = commandsFor(elf);
    const names = Object.keys(all).filter((vmm) => vmm === 'vexit' || hasProgram(QEMU));
    const times = Object.fromEntries(names.map((vmm) => [vmm, []]));
    for (let round = 0; round < options.rounds; round++) {
      for (const vmm of round % 2 === 0 ? names : names.toReversed()) {
        times[vmm].push(await runOnce(prefixed(all[vmm], options), source));
      }
    }
    const frames = (batches * BATCH) / entries;
    results[name] = Object.fromEntries(
      names.map((vmm) => [
        vmm,
        {
          perSecond: summary(times[vmm].map(({ wall }) => (frames / wall) * 1e9)),
          cpuPerFrame: summary(times[vmm].map(({ cpu }) => cpu / frames / 1000)),
          perCpuSecond: summary(times[vmm].map(({ cpu }) => (frames / cpu) * 1e9)),
        },
      ]),
    );
  }
  return results;
}

export async function netSpeed(options) {
  if (process.getuid() !== 0) {
    console.log('\n## virtio-net on a tap: skipped, it needs root\n');
    return {};
  }
  const results = await withTap(() => measure(options));
  print(results);
  return results;
}

function print(results) {
  console.log('\n## virtio-net on a tap (median of rounds; vexit as a ratio to the VMM)\n');
  const head = [
    'load',
    'VMM',
    'frames/s',
    'vexit /',
    'service CPU us/frame',
    'frames/CPU s',
    'vexit /',
  ];
  const rows = Object.entries(results).flatMap(([load, vmms]) =>
    Object.entries(vmms).map(([vmm, { perSecond, cpuPerFrame, perCpuSecond }]) => [
      ...[load, vmm, fixed(perSecond.median, 0)],
      fixed(vmms.vexit.perSecond.median / perSecond.median),
      ...[fixed(cpuPerFrame.median), fixed(perCpuSecond.median, 0)],
      fixed(vmms.vexit.perCpuSecond.median / perCpuSecond.median),
    ]),
  );
  console.log(table(head, rows));
}
