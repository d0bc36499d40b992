/** The guest that drives disks (test/guests/disk.c), and images for it. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { VirtualMachineOptions } from 'vexit';
import { Guest, runGuest, until, type GuestResult } from './run-guest';

/** Numbered sectors of the guest's load are so many sectors apart. */
export const STEP = 8;

/** A directory for images, deleted after the tests of a file. */
export function imageDirectory(): (name: string, bytes?: number) => string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-disks-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return (name, bytes) => {
    const file = path.join(directory, name);
    if (bytes !== undefined) {
      const fd = openSync(file, 'w');
      ftruncateSync(fd, bytes);
      closeSync(fd);
    }
    return file;
  };
}

/** The command line that makes the guest do this first. */
export function orders(script: string): string {
  return `do=${script}`;
}

/** Runs the guest with a script; it powers off at the end. */
export function runDiskGuest(script: string, options: VirtualMachineOptions): Promise<GuestResult> {
  return runGuest('disk', { cmdline: orders(`${script}x;`), ...options });
}

/** A guest that waits for more after its script. */
export function startDiskGuest(script: string, options: VirtualMachineOptions): Promise<Guest> {
  return Guest.start('disk', { cmdline: orders(script), ...options });
}

/** Has the guest do something, and waits until it shows a line that begins like this once more. */
export async function ask(guest: Guest, command: string, name: string): Promise<string> {
  const answers = (): string[] =>
    Array.from(guest.serial.matchAll(new RegExp(`^${name}=(.*)\n`, 'gm')), ([, text]) => text!);
  const before = answers().length;
  guest.send(command);
  await until(`${command} is answered with ${name}`, () => answers().length > before);
  return answers()[before]!;
}

/** The highest number that the guest's load has said is safe; -1 for none. */
export function acknowledged(serial: string): number {
  const lines = serial.match(/^a=[0-9a-f]+$(?=\n)/gm) ?? [];
  return lines.length === 0 ? -1 : parseInt(lines.at(-1)!.slice(2), 16);
}

/** Numbers up to `last` that are missing from an image. */
export function missing(image: Buffer, last: number, step = STEP): number[] {
  const wrong: number[] = [];
  for (let number = 0; number <= last; number++) {
    const sector = image.subarray(number * step * 512, (number * step + 1) * 512);
    const right =
      sector.length === 512 &&
      sector.readBigUInt64LE(0) === BigInt(number) &&
      sector.readBigUInt64LE(504) === BigInt.asUintN(64, ~BigInt(number));
    if (!right) wrong.push(number);
  }
  return wrong;
}

/** Numbers up to `last` that are missing from an image file. */
export function missingInFile(file: string, last: number): number[] {
  return missing(readFileSync(file), last);
}
