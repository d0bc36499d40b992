/** Opens the rings of an engine: those of the kernel, or those of the addon's thread pool. */
import { constant, native, type RingMemory } from '../kvm/native.js';
import { VexitError, systemCode } from '../util/errors.js';
import type { IoEngineKind, IoEngineOptions } from './io-engine.js';

/** Bytes for iovecs; the longest list takes 16 KiB. They are free again after each submission. */
const ARENA_BYTES = 256 * 1024;

const DEFAULTS = { entries: 256, files: 64, threads: 8 };
const LIMITS = { entries: 4096, files: 1024, threads: 64 };

export interface OpenRing {
  readonly kind: IoEngineKind;
  readonly capacity: number;
  readonly files: number;
  readonly memory: RingMemory;
}

type Sizes = typeof DEFAULTS;

function sizesOf(options: IoEngineOptions): Sizes {
  const sizes = { ...DEFAULTS };
  for (const name of ['entries', 'files', 'threads'] as const) {
    const value = options[name] ?? DEFAULTS[name];
    if (!Number.isInteger(value) || value < 1 || value > LIMITS[name]) {
      throw new VexitError('ERR_IO', `${name} is ${value}: give 1 to ${LIMITS[name]}`);
    }
    sizes[name] = value;
  }
  return sizes;
}

/** Rings have a power of 2 of entries. */
function ringEntries(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(capacity));
}

/**
 * Sets of IORING_SETUP_*, best first. With DEFER_TASKRUN (Linux 6.1) completions wait for this
 * thread to ask for them, and system calls of the event loop are not interrupted by them; with
 * COOP_TASKRUN (5.19) they at least cause no interrupt of the processor.
 */
function setupFlags(): number[] {
  const taskrun = constant('IORING_SETUP_TASKRUN_FLAG');
  const single = constant('IORING_SETUP_SINGLE_ISSUER');
  return [
    single | constant('IORING_SETUP_DEFER_TASKRUN') | taskrun,
    constant('IORING_SETUP_COOP_TASKRUN') | taskrun,
    0,
  ];
}

const OPCODES = ['READV', 'WRITEV', 'READ', 'WRITE', 'FSYNC', 'FALLOCATE', 'ASYNC_CANCEL'];

/** Fails where the kernel is older than 5.10, or knows less than such a kernel. */
function checkUring({ handle, layout }: RingMemory): void {
  const needed = constant('IORING_FEAT_NODROP') | constant('IORING_FEAT_SUBMIT_STABLE');
  const missing = OPCODES.filter(
    (name) => !native().ringSupports(handle, constant(`IORING_OP_${name}`)),
  );
  if ((layout.features & needed) === needed && missing.length === 0) return;
  native().ringClose(handle);
  throw new VexitError('ERR_IO', "this kernel's io_uring is too old", 'use Linux 5.10 or later');
}

function openUring(sizes: Sizes): RingMemory {
  const { ringOpenUring } = native();
  const attempts = setupFlags();
  for (;;) {
    const flags = attempts.shift()!;
    try {
      const memory = ringOpenUring(ringEntries(sizes.entries), flags, sizes.files, ARENA_BYTES);
      checkUring(memory);
      return memory;
    } catch (error) {
      // EINVAL: this kernel does not know the flags.
      if (systemCode(error) === 'EINVAL' && attempts.length > 0) continue;
      throw error;
    }
  }
}

function openPool(sizes: Sizes): RingMemory {
  return native().ringOpenPool(ringEntries(sizes.entries), sizes.threads, sizes.files, ARENA_BYTES);
}

/** What to do where io_uring was asked for and cannot be had. */
function hint(error: unknown): string {
  const code = systemCode(error);
  if (code === 'EPERM' || code === 'ENOSYS' || code === 'EACCES') {
    return 'this host or container forbids it (sysctl kernel.io_uring_disabled, seccomp): use threads';
  }
  return 'use threads';
}

/** @throws VexitError ERR_IO when the kind asked for, or both, cannot be had */
export function openRing(options: IoEngineOptions): OpenRing {
  const sizes = sizesOf(options);
  const ring = (kind: IoEngineKind, memory: RingMemory): OpenRing => {
    return { kind, capacity: sizes.entries, files: sizes.files, memory };
  };
  if (options.kind !== 'threads') {
    try {
      return ring('io_uring', openUring(sizes));
    } catch (cause) {
      if (options.kind === 'io_uring') {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new VexitError('ERR_IO', `io_uring cannot be used: ${why}`, hint(cause), { cause });
      }
    }
  }
  try {
    return ring('threads', openPool(sizes));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VexitError('ERR_IO', `no engine for asynchronous I/O: ${why}`, undefined, { cause });
  }
}
