/** The keys of a VM in a project's file: everything that `vexit run` takes. */
import { checkDisk, parseDiskOption, type DiskOptions } from '../../block/disk-option.js';
import { parseShareOption, type Share } from '../../fs/share-option.js';
import { MEMORY_MIN } from '../../memory/layout.js';
import { MAX_CPUS } from '../../machine/config.js';
import { parseVsockOption } from '../../machine/vsock/vsock-option.js';
import { parseInterface } from '../../net/interface-option.js';
import { parsePublish } from '../../net/options.js';
import { parseAllowNet } from '../../net/policy/target.js';
import { VexitError } from '../../util/errors.js';
import { parseCpuMask } from '../../kvm/cpuid.js';
import { parseHealthTime } from '../health/health-check.js';
import { checkLimits } from '../resources/limits.js';
import { parseRestartPolicy } from '../restart-policy.js';
import { commandLine } from './command-line.js';
import { dependencies } from './dependency.js';
import { healthCheck } from './health-fields.js';
import { field, object, whole, type Field } from './object-readers.js';
import {
  byKind,
  choice,
  flag,
  integer,
  list,
  listOrOne,
  located,
  mapped,
  parsed,
  size,
  text,
  type Reader,
} from './readers.js';
import { environment } from './environment.js';
import { memberships } from './membership.js';

const DISK_FIELDS = {
  path: field(text('root.ext4'), 'Image or block device; always raw'),
  readOnly: field(flag, 'The guest cannot write to it'),
  root: field(flag, 'Whether Linux boots from it; default: the first disk that does not say false'),
  serial: field(text('DATA'), 'Up to 20 characters of ASCII'),
  cache: field(
    choice('writeback', 'writethrough', 'unsafe', 'direct'),
    'Who keeps what the guest has written; default: writeback',
  ),
  engine: field(choice('io_uring', 'threads'), 'How the host reads and writes; default: the best'),
  overlay: field(text('web.overlay'), 'Keeps what the guest writes there and leaves path alone'),
  bytesPerSecond: field(size('100M'), 'Limit of the bytes a second'),
  bytesBurst: field(size('10M'), 'How many bytes at once after a pause'),
  operationsPerSecond: field(size('1000'), 'Limit of the operations a second'),
  operationsBurst: field(size('100'), 'How many operations at once after a pause'),
  queues: field(integer(1, 64), 'Queues of the device'),
  blockSize: field(size('4096', 512), 'Logical block size as the guest sees it'),
  discard: field(flag, 'False: discard and write zeroes are not offered'),
} satisfies Record<keyof DiskOptions, Field<unknown>>;

const disk: Reader<DiskOptions> = byKind({
  other: parsed(parseDiskOption, 'data.img,ro'),
  map: mapped(whole(object(DISK_FIELDS, { required: ['path'], what: 'a disk' })), (values) => {
    const options = { ...values, path: values.path! };
    checkDisk(options);
    return options;
  }),
});

/** Paths of the host are relative to the file's directory, which the document does not know. */
export interface AskedShare {
  readonly share: (base: string) => Share;
}

const share: Reader<AskedShare> = byKind({
  other: parsed((value) => ({ share: (base) => parseShareOption(value, base) }), './data:/data:ro'),
  map: mapped(
    whole(
      object(
        {
          hostPath: field(text('./data'), 'Directory of the host, which has to exist'),
          guestPath: field(text('/data'), 'Where the default guest mounts it'),
          readOnly: field(flag, 'The guest cannot write to it'),
        },
        { required: ['hostPath', 'guestPath'], what: 'a share' },
      ),
    ),
    ({ hostPath, guestPath, readOnly }): AskedShare => {
      const mode = readOnly === true ? 'ro' : 'rw';
      return { share: (base) => parseShareOption(`${hostPath!}:${guestPath!}:${mode}`, base) };
    },
  ),
});

const pmem = byKind<{ path: string; readOnly: boolean }>({
  other: parsed((value) => {
    const readOnly = value.endsWith(',ro');
    return { path: readOnly ? value.slice(0, -3) : value, readOnly };
  }, 'shared.ext4,ro'),
  map: mapped(
    whole(
      object(
        {
          path: field(text('shared.ext4'), 'File that the guest sees as memory'),
          readOnly: field(flag, 'Many VMs may share a file that none of them writes'),
        },
        { required: ['path'], what: 'persistent memory' },
      ),
    ),
    ({ path, readOnly = false }) => ({ path: path!, readOnly }),
  ),
});

const flatAddress = parsed((value) => {
  const address = /^(0x[0-9a-f]{1,12}|\d{1,15})$/i.test(value) ? Number(value) : undefined;
  if (address !== undefined) return address;
  throw new VexitError('ERR_CONFIG', `${JSON.stringify(value)} is not an address`, 'write 0x7c00');
}, '0x7c00');

const user = parsed((value) => {
  if (/^\d{1,10}(:\d{1,10})?$/.test(value)) return value;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(value)} is not uid or uid:gid`,
    'write numbers',
  );
}, '1000:1000');

const cpuFeatures = parsed((value) => {
  parseCpuMask(value);
  return value;
}, 'host,-avx2');

const weight = integer(1, 10_000);

const cpuQuota = parsed((value) => {
  const quota = Number(value);
  checkLimits({ cpuQuota: quota });
  return quota;
}, '1.5');

const cpuset = parsed((value) => {
  checkLimits({ cpuset: value });
  return value;
}, '0-1,3');

/** Keys of a VM. */
export const VM_FIELDS = {
  kernel: field(
    text('vmlinux'),
    'Kernel: bzImage, vmlinux, PVH, multiboot, flat; default: the default guest',
  ),
  firmware: field(text('bios.bin'), 'ROM image to start at the reset vector instead of a kernel'),
  initrd: field(
    listOrOne(text('root.cpio')),
    'Initial RAM disks, or multiboot modules as "path arguments"',
  ),
  guest: field(
    choice('built', 'cloud'),
    "Kernel of the default guest: vexit's own build, or Debian's",
  ),
  cmdline: field(text('console=ttyS0'), 'Kernel command line instead of the default one'),
  append: field(text('quiet'), 'Added to the kernel command line'),
  bootProtocol: field(
    choice('linux', 'pvh', 'multiboot', 'firmware', 'flat'),
    'Boot by this protocol, whatever the file is',
  ),
  flatAddress: field(flatAddress, 'Where a flat binary is loaded and entered'),
  cpus: field(integer(1, MAX_CPUS), 'Virtual processors; default 1'),
  memory: field(size('512M', MEMORY_MIN), 'Guest memory, such as 512M or 5G'),
  cpu: field(cpuFeatures, 'Processor features to hide'),
  disks: field(list(located(disk)), 'Disks, as for --disk or as objects: vda, vdb...'),
  net: field(
    listOrOne(
      located(
        mapped(
          parsed((value) => value, 'user,host=off'),
          (value) => (value === 'none' ? 'none' : parseInterface(value)),
        ),
      ),
    ),
    'Network interfaces as for --net: user,..., tap=NAME,..., lan=NAME, or none. Default: user',
  ),
  networks: field(memberships, 'Networks of this project that the VM is on, after those of net'),
  publish: field(
    list(located(parsed(parsePublish, '8080:80'))),
    'Ports of the host that lead to the guest: [ADDRESS:]8080:80[/tcp|/udp]',
  ),
  allowNet: field(
    listOrOne(parsed(parseAllowNet, 'example.org:443')),
    'Let the guest reach this and nothing else',
  ),
  denyNet: field(
    listOrOne(parsed(parseAllowNet, '10.0.0.0/8')),
    'Keep the guest from this, whatever is allowed',
  ),
  pcap: field(text('web.pcapng'), 'Capture the frames of the user network in this file'),
  shares: field(list(located(share)), 'Directories of the host: HOSTDIR:GUESTPATH[:ro]'),
  pmem: field(list(located(pmem)), 'Files as persistent memory: PATH or PATH,ro'),
  console: field(choice('serial', 'virtio'), "The guest's console; default: serial"),
  rng: field(flag, "Give the guest random bytes of the host's (virtio-rng)"),
  balloon: field(flag, 'Give the guest a memory balloon (virtio-balloon)'),
  vsock: field(
    parsed(parseVsockOption, 'path=web.vsock'),
    'Streams to the host by a unix socket: [cid=3,]path=SOCKET',
  ),
  agent: field(flag, 'Run the agent in the default guest; default: true'),
  ioThreads: field(integer(1, 16), 'Threads that serve virtio devices; default 1'),
  cpuWeight: field(weight, 'Share of the processors beside other VMs; 100 is usual'),
  cpuQuota: field(cpuQuota, 'The most processor time that it gets, in processors'),
  cpuset: field(cpuset, 'Processors of the host that it may run on'),
  memoryLimit: field(
    size('1G', 64 * 2 ** 20),
    'The most memory that it may have, with its process',
  ),
  ioWeight: field(weight, 'Share of the disks beside other VMs; 100 is usual'),
  hostname: field(
    text('db'),
    "Host name of the default guest, and the VM's name on networks; default: the VM's name here",
  ),
  restart: field(
    parsed(parseRestartPolicy, 'on-failure:3'),
    'Start it again when it ends: no, on-failure[:N], always',
  ),
  reboot: field(flag, 'Start again when the guest reboots (default), or end with status 120'),
  debugExit: field(flag, 'A byte written to port 0x501 ends the VM with status 2 * byte + 1'),
  command: field(commandLine, 'What the guest runs instead of a shell: a list, or text for sh -c'),
  env: field(environment, 'Environment of the command'),
  workdir: field(text('/srv'), 'Working directory of the command'),
  user: field(user, 'uid or uid:gid of the command'),
  tty: field(flag, 'Give the command a terminal'),
  firmwareLog: field(flag, 'Put what is written to port 0x402 into the log'),
  debugConsole: field(flag, 'Put what is written to port 0xe9 into the log'),
  kvm: field(text('/dev/kvm'), 'The KVM device'),
  dependsOn: field(dependencies, 'VMs that are started before this one, and what is waited for'),
  health: field(healthCheck, 'How it is found out whether the VM does what it is there for'),
  stopTimeout: field(
    parsed(parseHealthTime, '10s'),
    'How long the guest has to power off; default 10 s',
  ),
} as const;

/** Keys that other tools have for the same. */
const OTHERS: Readonly<Record<string, string>> = {
  volumes: 'shares',
  mounts: 'shares',
  ports: 'publish',
  environment: 'env',
  memlimit: 'memory',
  mem: 'memory',
  vcpus: 'cpus',
  healthcheck: 'health',
  workingdir: 'workdir',
  cwd: 'workdir',
  entrypoint: 'command',
  stopgraceperiod: 'stopTimeout',
  device: 'disks',
  drives: 'disks',
};

export const vm = object(VM_FIELDS, { others: OTHERS, what: 'a VM' });

/** Drops what has been refused. */
export function present<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
