import type { Argv, CommandModule, Options } from 'yargs';
import { RESOURCE_OPTIONS } from '../resource-options.js';

const PROTOCOLS = ['linux', 'pvh', 'multiboot', 'firmware', 'flat'] as const;

/** The options of `vexit run`. */
export const RUN_OPTIONS = {
  kernel: {
    type: 'string',
    alias: 'k',
    describe: 'Kernel: bzImage, vmlinux, PVH, multiboot, flat',
  },
  firmware: {
    type: 'string',
    describe: 'ROM image to start at the reset vector (SeaBIOS, qboot)',
  },
  initrd: {
    type: 'string',
    array: true,
    nargs: 1,
    alias: 'i',
    describe: 'Initial RAM disk or multiboot module; may be repeated',
  },
  guest: {
    choices: ['built', 'cloud'] as const,
    describe: "Kernel of the default guest: vexit's own build, or Debian's cloud kernel",
  },
  cmdline: { type: 'string', describe: 'Kernel command line instead of the default one' },
  append: { type: 'string', alias: 'a', describe: 'Added to the kernel command line' },
  'boot-protocol': {
    choices: PROTOCOLS,
    describe: 'Boot by this protocol, whatever the file is',
  },
  'flat-address': { type: 'string', describe: 'Where a flat binary is loaded and entered' },
  cpus: { type: 'number', alias: 'c', describe: 'Virtual processors, 1 to 32', default: 1 },
  memory: { type: 'string', alias: 'm', describe: 'Guest memory, such as 512M or 5G' },
  cpu: { type: 'string', describe: 'Hide processor features: host,-avx2' },
  disk: {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Disk: PATH,ro,serial=S,cache=writeback,bps=100M,...; may be repeated',
  },
  net: {
    type: 'string',
    array: true,
    nargs: 1,
    alias: 'n',
    describe:
      'Network: user,host=off,..., tap=NAME,mac=...,queues=2, lan=NAME or none; may be repeated',
  },
  publish: {
    type: 'string',
    array: true,
    nargs: 1,
    alias: 'p',
    describe: 'Port of the host that leads to the guest: [ADDRESS:]8080:80[/tcp|/udp]',
  },
  'allow-net': {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Let the guest reach this and nothing else: example.org:443, 10.0.0.0/8',
  },
  'deny-net': {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Keep the guest from this, whatever is allowed',
  },
  pcap: { type: 'string', describe: 'Capture the frames of the network in this file (pcapng)' },
  share: {
    type: 'string',
    array: true,
    nargs: 1,
    alias: 's',
    describe: 'Directory of the host for the guest: HOSTDIR:GUESTPATH[:ro]',
  },
  pmem: {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'File as persistent memory: PATH or PATH,ro; may be repeated',
  },
  console: {
    choices: ['serial', 'virtio'] as const,
    describe: 'What the terminal is connected to; default: serial',
  },
  rng: { type: 'boolean', describe: "Give the guest random bytes of the host's (virtio-rng)" },
  balloon: { type: 'boolean', describe: 'Give the guest a memory balloon (virtio-balloon)' },
  vsock: {
    type: 'string',
    describe: 'Streams to the host by a unix socket (virtio-vsock): [cid=3,]path=SOCKET',
  },
  'io-threads': {
    type: 'number',
    describe: 'Threads that serve virtio devices, 1 to 16; default 1',
  },
  ...RESOURCE_OPTIONS,
  name: { type: 'string', describe: 'Name of the VM: for other commands, and on its LANs' },
  hostname: {
    type: 'string',
    describe: "Host name of the default guest, and the VM's on LANs; default: its name",
  },
  detach: {
    type: 'boolean',
    alias: 'd',
    describe: 'Run in a process of its own, print the name and end',
  },
  rm: {
    type: 'boolean',
    describe: 'Remove the VM when it has ended; without -d that is always so',
  },
  restart: {
    type: 'string',
    describe: 'Start it again when it ends: no, on-failure[:N], always; with -d',
  },
  'health-cmd': {
    type: 'string',
    describe: 'Shell command of the guest that says whether it is healthy; with -d',
  },
  'health-tcp': { type: 'number', describe: 'Port of the guest that has to be listened on' },
  'health-http': {
    type: 'string',
    describe: 'Web server of the guest that has to answer: 80/ready',
  },
  'health-interval': { type: 'string', describe: 'Pause between checks of health; 5s' },
  'health-timeout': { type: 'string', describe: 'How long a check may take; 5s' },
  'health-retries': { type: 'number', describe: 'Failures in a row that count; 3' },
  'health-start-period': { type: 'string', describe: 'Time in which failures do not count; 2m' },
  reboot: {
    type: 'boolean',
    default: true,
    describe: 'Start again when the guest reboots; --no-reboot ends the VM with status 120',
  },
  'debug-exit': {
    type: 'boolean',
    describe: 'A byte written to port 0x501 ends the VM with status 2 * byte + 1',
  },
  tty: { type: 'boolean', describe: 'Give the command a terminal; default: when you have one' },
  env: {
    type: 'string',
    array: true,
    nargs: 1,
    alias: 'e',
    describe: 'NAME=VALUE for the command',
  },
  workdir: { type: 'string', alias: 'w', describe: 'Working directory of the command' },
  user: { type: 'string', alias: 'u', describe: 'uid or uid:gid of the command' },
  timeout: {
    type: 'number',
    describe: 'Seconds after which the VM is stopped, with status 124',
  },
  'firmware-log': { type: 'boolean', describe: 'Show what is written to port 0x402' },
  'debug-console': { type: 'boolean', describe: 'Show what is written to port 0xe9' },
  verbose: { type: 'boolean', alias: 'v', describe: 'Say more on standard error' },
  json: { type: 'boolean', describe: 'Print how the VM ended as JSON on standard error' },
  pvm: { type: 'boolean', hidden: true },
  kvm: { type: 'string', hidden: true, describe: 'KVM device' },
} as const satisfies Record<string, Options>;

function builder(yargs: Argv) {
  return yargs
    .usage('$0 run [options] [-- command [argument...]]\n\nBoots a VM and connects the terminal.')
    .options(RUN_OPTIONS)
    .example('vexit run', 'boot Linux to a shell')
    .example("vexit run -- sh -c 'uname -a; nproc'", 'run a command in Linux')
    .example('vexit run --cpus 2 --memory 1G --kernel vmlinux --initrd root.cpio', 'boot a kernel')
    .example('vexit run -d --name web --publish 8080:80', 'run it in the background')
    .example('vexit run --firmware /usr/share/seabios/bios.bin --firmware-log', 'run SeaBIOS');
}

/** What yargs makes of the options of `vexit run`. */
export type RunArguments = Awaited<ReturnType<typeof builder>['argv']> & { '--'?: string[] };

export const runCommand: CommandModule<object, RunArguments> = {
  command: 'run',
  describe: 'Boot a VM; without a kernel, Linux to a shell',
  builder: builder as unknown as CommandModule<object, RunArguments>['builder'] & object,
  handler: async (args) => {
    if (args.detach === true) {
      const { runDetached } = await import('../manage/create-vm.js');
      await runDetached(args);
    } else {
      const { runVm } = await import('../run-vm.js');
      await runVm(args);
    }
  },
};
