/**
 * KVM's counters of a vCPU by its binary statistics interface (KVM_GET_STATS_FD, Linux 5.14): KVM counts
 * them anyway, so they cost the guest nothing.
 */
import { readSync } from 'node:fs';
import { native } from './native.js';

/** struct kvm_stats_header: six u32. */
const HEADER_BYTES = 24;
/** struct kvm_stats_desc without its name. */
const DESCRIPTOR_BYTES = 16;
/** KVM_STATS_TYPE_MASK, and the types whose value is one number. */
const TYPE_MASK = 0xf;
const LAST_PLAIN_TYPE = 2;
/** More than KVM has; a file that says so is none of KVM's. */
const MAX_DESCRIPTORS = 1024;
const MAX_NAME = 256;

function readAt(fd: number, length: number, offset: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
}

/**
 * Opens the counters of a vCPU. KVM takes the vCPU's lock for that, which a running vCPU has until its next
 * exit: to be called before it runs.
 * @param vcpuFd file descriptor of the vCPU
 * @returns a file descriptor of the counters, or undefined before Linux 5.14
 */
export function openStatistics(vcpuFd: number): number | undefined {
  try {
    return native().getStatsFd(vcpuFd);
  } catch {
    return undefined;
  }
}

/**
 * Every counter that is one number. Waits for nobody.
 * @param fd of {@link openStatistics}
 */
export function readStatistics(fd: number): Readonly<Record<string, number>> {
  const header = readAt(fd, HEADER_BYTES, 0);
  if (header.length < HEADER_BYTES) return {};
  const [nameSize, count, , descriptors, data] = [4, 8, 12, 16, 20].map((at) =>
    header.readUInt32LE(at),
  ) as [number, number, number, number, number];
  if (nameSize > MAX_NAME || count > MAX_DESCRIPTORS) return {};
  return readCounters(fd, { nameSize, count, descriptors, data });
}

interface Layout {
  readonly nameSize: number;
  readonly count: number;
  readonly descriptors: number;
  readonly data: number;
}

function readCounters(
  fd: number,
  { nameSize, count, descriptors, data }: Layout,
): Record<string, number> {
  const size = DESCRIPTOR_BYTES + nameSize;
  const table = readAt(fd, count * size, descriptors);
  const counters: { name: string; offset: number }[] = [];
  for (let at = 0; at + size <= table.length; at += size) {
    const numbers = table.readUInt16LE(at + 6);
    if ((table.readUInt32LE(at) & TYPE_MASK) > LAST_PLAIN_TYPE || numbers !== 1) continue;
    const name = table.toString('latin1', at + DESCRIPTOR_BYTES, at + size);
    counters.push({ name: name.slice(0, name.indexOf('\0')), offset: table.readUInt32LE(at + 8) });
  }
  const end = Math.max(0, ...counters.map(({ offset }) => offset + 8));
  const values = readAt(fd, end, data);
  return Object.fromEntries(
    counters
      .filter(({ offset }) => offset + 8 <= values.length)
      .map(({ name, offset }) => [name, Number(values.readBigUInt64LE(offset))]),
  );
}
