/** The addon's typed face: what `native/` exports, and where the binary is looked for. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { VexitError, errorMessage } from '../util/errors.js';
import type { NativeFs } from './native-fs.js';
import type { NativePacket } from './native-packet.js';

/** Bytes an ioctl reads or fills; the addon checks the length against the structure. */
export type Bytes = Uint8Array | DataView;

type ValueIoctl = (fd: number, value?: number) => number;
type StructIoctl = (fd: number, bytes: Bytes) => number;

/** A watch on a file descriptor, see {@link NativeAddon.watchReadable}. */
export type WatchHandle = object & { readonly __watch: unique symbol };

/** Rings for asynchronous I/O, see {@link NativeAddon.ringOpenUring}. */
export type RingHandle = object & { readonly __ring: unique symbol };

/** Byte offsets of the words of the rings, and what was set up (struct io_uring_params). */
export interface RingLayout {
  readonly sqHead: number;
  readonly sqTail: number;
  readonly sqFlags: number;
  readonly sqArray: number;
  readonly sqEntries: number;
  readonly cqHead: number;
  readonly cqTail: number;
  readonly cqFlags: number;
  readonly cqCqes: number;
  readonly cqEntries: number;
  /** IORING_SETUP_* */
  readonly flags: number;
  /** IORING_FEAT_* */
  readonly features: number;
}

/** An open ring: its memory as ArrayBuffers, which may be used until they are unwrapped. */
export interface RingMemory {
  readonly handle: RingHandle;
  /** Signalled for completions; closed with the ring. */
  readonly eventfd: number;
  readonly layout: RingLayout;
  readonly sq: ArrayBuffer;
  /** The same as `sq` where both rings are one mapping. */
  readonly cq: ArrayBuffer;
  readonly sqes: ArrayBuffer;
  /** Memory for iovecs. */
  readonly arena: ArrayBuffer;
  /** Where `arena` is in this process. */
  readonly arenaAddress: number;
}

/** Functions of the addon. Failing system calls throw with `code`, `errno` and `syscall`. */
export interface NativeAddon extends NativeFs, NativePacket {
  /** KVM_*, IORING_* and, as `struct.field` and `sizeof_struct`, layouts the compiler computed. */
  readonly constants: Readonly<Record<string, number>>;

  getApiVersion: ValueIoctl;
  createVm: ValueIoctl;
  checkExtension: ValueIoctl;
  getVcpuMmapSize: ValueIoctl;
  getSupportedCpuid: StructIoctl;
  getMsrIndexList: StructIoctl;
  setTssAddr: ValueIoctl;
  setIdentityMapAddr: StructIoctl;
  createIrqchip: ValueIoctl;
  createPit2: StructIoctl;
  createVcpu: ValueIoctl;
  getIrqchip: StructIoctl;
  setIrqchip: StructIoctl;
  getPit2: StructIoctl;
  setPit2: StructIoctl;
  getClock: StructIoctl;
  setClock: StructIoctl;
  irqfd: StructIoctl;
  ioeventfd: StructIoctl;
  setGsiRouting: StructIoctl;
  signalMsi: StructIoctl;
  enableCap: StructIoctl;
  registerCoalescedMmio: StructIoctl;
  setCpuid2: StructIoctl;
  getMsrs: StructIoctl;
  setMsrs: StructIoctl;
  getRegs: StructIoctl;
  setRegs: StructIoctl;
  getSregs: StructIoctl;
  setSregs: StructIoctl;
  getFpu: StructIoctl;
  setFpu: StructIoctl;
  getLapic: StructIoctl;
  setLapic: StructIoctl;
  getVcpuEvents: StructIoctl;
  setVcpuEvents: StructIoctl;
  getDebugregs: StructIoctl;
  setDebugregs: StructIoctl;
  getXsave: StructIoctl;
  setXsave: StructIoctl;
  getXcrs: StructIoctl;
  setXcrs: StructIoctl;
  getMpState: StructIoctl;
  setMpState: StructIoctl;
  setGuestDebug: StructIoctl;
  translate: StructIoctl;
  getTscKhz: ValueIoctl;
  setTscKhz: ValueIoctl;
  kvmclockCtrl: ValueIoctl;
  nmi: ValueIoctl;
  /** A file of a vCPU's counters, see stats.ts. */
  getStatsFd: ValueIoctl;

  irqLine: (vmFd: number, gsi: number, level: number) => void;
  getDirtyLog: (vmFd: number, slot: number, pages: number, bitmap: Uint8Array) => void;
  /** Triples of first MSR, count (at most 64) and whether only writes exit. */
  setMsrFilter(vmFd: number, ranges: (number | boolean)[]): void;

  memoryCreate(name: string, size: number): { id: number; fd: number; address: bigint };
  /** The first `length` bytes of a file, shared, and zeroes behind them up to `size`. */
  memoryMapFile(
    fd: number,
    length: number,
    size: number,
    writable: boolean,
  ): { id: number; fd: number; address: bigint };
  memoryWrap: (id: number, offset: number, length: number) => ArrayBuffer;
  memoryUnwrap: (buffer: ArrayBuffer) => void;
  memoryRelease: (id: number) => void;
  memoryDiscard: (id: number, offset: number, length: number) => void;
  /** Makes one huge page of the pages from `offset` on: 0, or a negative errno. */
  memoryCollapse: (id: number, offset: number, callback: (result: number) => void) => void;
  setUserMemoryRegion: (
    vmFd: number,
    slot: number,
    flags: number,
    guestAddress: number,
    memoryId: number,
    offset: number,
    size: number,
  ) => void;

  vcpuOpen: (fd: number, runSize: number) => number;
  vcpuRunPage: (id: number) => ArrayBuffer;
  vcpuFd: (id: number) => number;
  /** KVM_RUN: the exit reason, or a negative errno (-EINTR kicked, -ECANCELED stopped for good). */
  vcpuRun: (id: number) => number;
  vcpuHeadStart: (id: number) => number;
  vcpuKick: (id: number) => number;
  vcpuStop: (id: number) => number;
  vcpuClose: (id: number) => number;
  vcpuFirstRun: (id: number) => number;
  vcpuStopAll: () => void;

  eventfdCreate: () => number;
  eventfdSignal: (fd: number) => void;
  eventfdDrain: (fd: number) => number;
  watchReadable(fd: number, callback: () => void): WatchHandle;
  /** What is watched for: 1 readable, 2 writable, 3 either, 0 nothing. */
  watchEvents: (handle: WatchHandle, events: number) => void;
  unwatch: (handle: WatchHandle) => void;
  watchRef: (handle: WatchHandle, keepAlive: boolean) => void;

  /** `entries` is a power of 2; the flags are IORING_SETUP_*. */
  ringOpenUring: (entries: number, flags: number, files: number, arena: number) => RingMemory;
  /** The same rings, served by up to `threads` threads. */
  ringOpenPool: (entries: number, threads: number, files: number, arena: number) => RingMemory;
  /** io_uring_enter that does not wait: how many SQEs were taken, or a negative errno. */
  ringEnter: (handle: RingHandle, toSubmit: number, flags: number) => number;
  /** Puts a file into the table of fixed files; -1 takes it out. */
  ringSetFile: (handle: RingHandle, slot: number, fd: number) => void;
  ringSupports: (handle: RingHandle, opcode: number) => boolean;
  /** Keeps memory of `memoryCreate` mapped until no request can touch it. */
  ringHold: (handle: RingHandle, memoryId: number) => void;
  ringClose: (handle: RingHandle) => void;
  /** F_OFD_SETLK on the whole file: false when another open file description has it. */
  fileLock: (fd: number, exclusive: boolean) => boolean;
  /** True when another open file description has the file locked, whichever way. */
  fileLocked: (fd: number) => boolean;
  /** sched_setaffinity: the processors that a thread of any process may run on. */
  threadAffinity: (tid: number, cpus: number[]) => void;
  /** Opens a non-blocking queue of a TAP device, which is made if it does not exist. */
  tapOpen: (name: string, multiQueue: boolean, vnetHeader: boolean) => { fd: number; name: string };
  tapSetVnetHeaderSize: (fd: number, size: number) => void;
  /** What the reader of the queue takes: TUN_F_* bits. */
  tapSetOffload: (fd: number, offloads: number) => void;
  /** Opens a datagram socket of ICMP or ICMPv6, where net.ipv4.ping_group_range allows it. */
  pingSocket: (ipv4: boolean) => number;
  /** Takes a queue of a device with several into use, or out of it. */
  tapSetQueue: (fd: number, attached: boolean) => void;
  /** Queues that a device made for several has open, anybody's; 0 where the kernel does not say. */
  tapQueues: (name: string) => number;
  /** Brings an interface up; an MTU of 0 is left as it is. */
  tapBringUp: (name: string, mtu: number) => void;
  /** Writes a batch of frames, see native/tap.h: how many were dealt with, or a negative errno. */
  tapWrite(
    fd: number,
    segments: Uint32Array,
    frames: Int32Array,
    count: number,
    heads: Uint8Array,
  ): number;
  /** Reads frames into buffers, see native/tap.h: how many, or a negative errno. */
  tapRead(
    fd: number,
    segments: Uint32Array,
    buffers: Uint32Array,
    bufferCount: number,
    mergeable: boolean,
    frames: Uint32Array,
    limit: number,
    frame: Uint8Array,
    expected: number,
  ): number;
}

/** The directory that holds package.json, from src/, dist/ or a bundle in dist/. */
export function packageRoot(): string {
  let dir = __dirname;
  while (!existsSync(path.join(dir, 'binding.gyp'))) {
    const parent = path.dirname(dir);
    if (parent === dir)
      throw new VexitError('ERR_ADDON', `no package of vexit around ${__dirname}`);
    dir = parent;
  }
  return dir;
}

function load(): NativeAddon {
  const root = packageRoot();
  const candidates = [
    path.join(root, 'prebuilds', `${process.platform}-${process.arch}.node`),
    path.join(root, 'build', 'Release', 'vexit.node'),
  ];
  const found = candidates.find((file) => existsSync(file));
  if (found === undefined) {
    throw new VexitError(
      'ERR_ADDON',
      `the native addon is not built (looked for ${candidates.join(' and ')})`,
      'run: npm run build:native',
    );
  }
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- addons load by require only
    return require(found) as NativeAddon;
  } catch (error) {
    throw new VexitError('ERR_ADDON', `the native addon does not load: ${errorMessage(error)}`);
  }
}

let addon: NativeAddon | undefined;

/** The addon, loaded at first use. */
export function native(): NativeAddon {
  addon ??= load();
  return addon;
}

/**
 * A constant the compiler computed from linux/kvm.h or linux/io_uring.h.
 * @throws VexitError when the addon does not export it, which is a defect.
 */
export function constant(name: string): number {
  const value = native().constants[name];
  if (value === undefined) throw new VexitError('ERR_ADDON', `the addon has no constant ${name}`);
  return value;
}
