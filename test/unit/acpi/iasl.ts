/** The ACPI compiler of acpica-tools, where it is installed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const hasIasl = spawnSync('iasl', ['-v']).status === 0;

/** `test`, or counted as skipped without iasl. */
export const testWithIasl = hasIasl ? test : test.skip;

function withDirectory<T>(action: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'vexit-acpi-'));
  try {
    return action(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function run(directory: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('iasl', args, { cwd: directory, encoding: 'utf8' });
  const output = stdout + stderr;
  if (status !== 0) throw new Error(output);
  return output;
}

/** Compiles the terms of a definition block and returns their AML, without the table header. */
export function compile(terms: string): Uint8Array {
  return withDirectory((directory) => {
    const block = `DefinitionBlock ("", "DSDT", 2, "VEXIT", "VEXITVM", 1) {\n${terms}\n}\n`;
    writeFileSync(join(directory, 'dsdt.asl'), block);
    // -on: names as they are written, not their shortest form in the scope.
    run(directory, '-on', '-p', 'dsdt', 'dsdt.asl');
    return Uint8Array.from(readFileSync(join(directory, 'dsdt.aml')).subarray(36));
  });
}

/** Disassembles a table; returns the source and what iasl said while reading it. */
export function disassemble(table: Uint8Array): { source: string; messages: string } {
  return withDirectory((directory) => {
    writeFileSync(join(directory, 'table.dat'), table);
    const messages = run(directory, '-d', 'table.dat');
    return { source: readFileSync(join(directory, 'table.dsl'), 'utf8'), messages };
  });
}

/** Disassembles and compiles again; returns the AML of the second table, header left out. */
export function recompile(table: Uint8Array): Uint8Array {
  return withDirectory((directory) => {
    writeFileSync(join(directory, 'table.dat'), table);
    run(directory, '-d', 'table.dat');
    run(directory, '-on', '-p', 'again', 'table.dsl');
    return Uint8Array.from(readFileSync(join(directory, 'again.aml')).subarray(36));
  });
}
