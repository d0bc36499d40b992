/**
 * Names of the MC146818 and of the CMOS RAM bytes of a PC, and what a BIOS puts there.
 *
 * MC146818A data sheet, figure 8 (address map); QEMU hw/i386/pc.c and SeaBIOS for the RAM bytes.
 */
import type { RegisterBlock } from '../../bus/register-block.js';

export const SECONDS = 0x00;
export const SECONDS_ALARM = 0x01;
export const MINUTES = 0x02;
export const MINUTES_ALARM = 0x03;
export const HOURS = 0x04;
export const HOURS_ALARM = 0x05;
export const DAY_OF_WEEK = 0x06;
export const DAY_OF_MONTH = 0x07;
export const MONTH = 0x08;
export const YEAR = 0x09;
export const REGISTER_A = 0x0a;
export const REGISTER_B = 0x0b;
export const REGISTER_C = 0x0c;
export const REGISTER_D = 0x0d;
/** Century, in RAM; FADT tells the guest where. */
export const CENTURY = 0x32;

/** Register A: an update is in progress; divider; rate of the periodic interrupt. */
export const A_UIP = 0x80;
export const A_DIVIDER = 0x70;
export const A_DIVIDER_32KHZ = 0x20;
export const A_RATE = 0x0f;

/** Register B. */
export const B_SET = 0x80;
export const B_UIE = 0x10;
export const B_BINARY = 0x04;
export const B_24_HOURS = 0x02;

/** Register C, and the same places in B: periodic, alarm, update ended. */
export const PERIODIC = 0x40;
export const ALARM = 0x20;
export const UPDATE_ENDED = 0x10;
export const INTERRUPTS = PERIODIC | ALARM | UPDATE_ENDED;
export const C_IRQF = 0x80;

export const D_VALID_RAM = 0x80;

/** CMOS RAM, then words. */
export const CMOS_BYTES = 128;
/** The guest's time minus the host's, a 64-bit float of milliseconds. */
export const OFFSET_BYTE = CMOS_BYTES;
/** Host time up to which flags have been computed, a 64-bit float of milliseconds. */
export const CHECKED_BYTE = CMOS_BYTES + 8;

export const enum Word {
  Index = 36,
  InterruptLevel = 37,
}
export const REGISTER_BYTES = 152;

/** True for the registers that follow the clock. */
export function isTime(index: number): boolean {
  return (
    index === SECONDS ||
    index === MINUTES ||
    index === HOURS ||
    (index >= DAY_OF_WEEK && index <= YEAR) ||
    index === CENTURY
  );
}

export function isAlarm(index: number): boolean {
  return index === SECONDS_ALARM || index === MINUTES_ALARM || index === HOURS_ALARM;
}

/** What firmware wants to know about the machine. */
export interface CmosConfig {
  /** Bytes of RAM below 4 GiB. */
  readonly memoryBelow4G: number;
  /** Bytes of RAM from 4 GiB on. */
  readonly memoryAbove4G: number;
  readonly cpus: number;
  /** Boot devices in order; 1 floppy, 2 hard disk, 3 CD-ROM, 4 network. Disk first by default. */
  readonly bootOrder?: readonly [number, number?, number?];
}

const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** Fills the CMOS RAM as a BIOS set-up would. Once for a machine: a reset leaves it alone. */
export function initialiseCmos(block: RegisterBlock, config: CmosConfig): void {
  const ram = block.bytes;
  const word = (index: number, value: number) => {
    ram[index] = value & 0xff;
    ram[index + 1] = value >>> 8;
  };
  const units = (bytes: number, unit: number) =>
    Math.min(0xffff, Math.max(0, Math.floor(bytes / unit)));
  ram[REGISTER_A] = A_DIVIDER_32KHZ | 0x06;
  ram[REGISTER_B] = B_24_HOURS;
  // Equipment: FPU and PS/2 port.
  ram[0x14] = 0x06;
  word(0x15, Math.min(640, units(config.memoryBelow4G, KIB)));
  const extended = units(config.memoryBelow4G - MIB, KIB);
  word(0x17, extended);
  word(0x30, extended);
  word(0x34, units(config.memoryBelow4G - 16 * MIB, 64 * KIB));
  const above = Math.min(0xff_ffff, Math.floor(config.memoryAbove4G / (64 * KIB)));
  word(0x5b, above & 0xffff);
  ram[0x5d] = above >>> 16;
  ram[0x5f] = Math.min(255, config.cpus - 1);
  const [first, second = 0, third = 0] = config.bootOrder ?? [2];
  ram[0x3d] = ((second & 0x0f) << 4) | (first & 0x0f);
  // Bit 0: no floppy signature check.
  ram[0x38] = ((third & 0x0f) << 4) | 0x01;
  let sum = 0;
  for (let index = 0x10; index < 0x2e; index++) sum += ram[index]!;
  ram[0x2e] = (sum >>> 8) & 0xff;
  ram[0x2f] = sum & 0xff;
}
