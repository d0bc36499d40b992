// fio in a Linux guest, on a raw file in the host's page cache. Where the guest's kernel is
// interpreted (kvm-pvm) the figures are those of its block layer and not of the device.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { cli, dist, filledFile } from './lib/build.mjs';
import { fixed, table } from './lib/stats.mjs';

const FILE_BYTES = 256 * 2 ** 20;
const SECONDS = 10;
const DEVICE = '/dev/vdb';

const LOADS = [
  { name: '4 KiB random reads, depth 32', rw: 'randread', bs: '4k', depth: 32 },
  { name: '4 KiB random writes, depth 32', rw: 'randwrite', bs: '4k', depth: 32 },
  { name: '1 MiB sequential reads, depth 4', rw: 'read', bs: '1m', depth: 4 },
  { name: '1 MiB sequential writes, depth 4', rw: 'write', bs: '1m', depth: 4 },
];

/** fio's arguments; one load after the other. */
function fioArguments() {
  const common = ['--direct=1', '--ioengine=libaio', `--filename=${DEVICE}`, '--thread'];
  const time = ['--time_based', `--runtime=${SECONDS}`, '--randrepeat=0', '--group_reporting'];
  const jobs = LOADS.flatMap(({ name, rw, bs, depth }) => [
    ...[`--name=${name}`, '--stonewall', `--rw=${rw}`, `--bs=${bs}`, `--iodepth=${depth}`],
  ]);
  return ['--output-format=json', ...common, ...time, ...jobs];
}

export async function fio() {
  const { ensureRootDisk } = await import(pathToFileURL(path.join(dist, 'index.js')));
  const progress = ({ step, detail }) => {
    if (detail === undefined) console.error(step);
  };
  const root = await ensureRootDisk('debian', progress, undefined, ['fio']);
  const command = ['fio', ...fioArguments()];
  const run = ['run', '--net', 'none', '--memory', '256M'];
  const disks = ['--disk', `${root},ro`, '--disk', filledFile('fio.raw', FILE_BYTES)];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [cli, ...run, ...disks, '--', ...command],
    { encoding: 'utf8', maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  if (status !== 0) throw new Error(`fio in the guest: status ${status}: ${stderr}${stdout}`);
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{')));
  const rows = jobs.map((job) => {
    const {
      iops,
      bw_bytes: bandwidth,
      clat_ns: latency,
    } = job.read.total_ios > 0 ? job.read : job.write;
    return {
      load: job.jobname,
      iops,
      bandwidth,
      latency: latency.mean,
      user: job.usr_cpu,
      system: job.sys_cpu,
    };
  });
  console.log(`\n## fio in the Linux guest: fio ${fioArguments().slice(0, 7).join(' ')}\n`);
  const head = ['load', 'requests/s', 'MiB/s', 'latency us', 'user %', 'system %'];
  const cells = rows.map(({ load, iops, bandwidth, latency, user, system }) => [
    ...[load, fixed(iops, 0), fixed(bandwidth / 2 ** 20, 1), fixed(latency / 1000, 0)],
    ...[fixed(user, 0), fixed(system, 0)],
  ]);
  console.log(table(head, cells));
  return rows;
}
