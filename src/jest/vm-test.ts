/** A jest test around a virtual machine: its time, its end, and its console when it fails. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { VirtualMachineOptions } from '../index.js';
import { TestVm } from './test-vm.js';

/** What a test with a VM can say beside the options of the VM. */
export interface VmTestOptions extends VirtualMachineOptions {
  /** Milliseconds for the whole test; 60 s. */
  readonly timeout?: number;
  /** Directory for the console of a test that fails; default: `$VEXIT_ARTIFACTS`, if that is set. */
  readonly artifacts?: string;
}

/** What jest, and others like it, put into the global scope. */
interface TestFramework {
  test: Record<'only' | 'skip', RegisterTest> & RegisterTest;
}

type RegisterTest = (name: string, fn: () => Promise<void>, timeout: number) => void;
/** What a test does with its VM. */
export type Body = (vm: TestVm) => Promise<void> | void;

const TIMEOUT_MS = 60_000;
/** Time to switch a VM off and to report before jest loses patience. */
const REPORT_MS = 5000;

function saveConsole(directory: string, name: string, text: string): string {
  mkdirSync(directory, { recursive: true });
  const file = path.join(directory, `${name.replace(/[^\w.-]+/g, '-').slice(0, 100)}.log`);
  writeFileSync(file, text);
  return file;
}

/** The error of a test with the console under its message. */
function withConsole(error: unknown, vm: TestVm, name: string, artifacts?: string): unknown {
  if (typeof error !== 'object' || error === null || !('message' in error)) return error;
  const failure = error as { message: string; stack?: string };
  const lines: string[] = [];
  const { console, stdout, stderr } = vm;
  const logs = Object.entries({ console, stdout, stderr });
  for (const [what, log] of logs) {
    const tail = log?.tail() ?? '';
    if (tail !== '' && !failure.message.includes(tail)) lines.push(`The guest's ${what}:\n${tail}`);
  }
  if (artifacts !== undefined) {
    lines.push(`The whole console: ${saveConsole(artifacts, name, console.text)}`);
  }
  if (lines.length === 0) return error;
  const addition = `\n\n${lines.join('\n\n')}`;
  // jest shows the stack, which begins with the message as it was.
  const { message, stack } = failure;
  if (stack !== undefined) failure.stack = stack.replace(message, () => message + addition);
  failure.message += addition;
  return failure;
}

async function runBody(name: string, options: VmTestOptions, body: Body): Promise<void> {
  const { timeout = TIMEOUT_MS, artifacts = process.env.VEXIT_ARTIFACTS, ...vmOptions } = options;
  const vm = await TestVm.start(vmOptions);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const expired = (): void => reject(new Error(`the test has not ended within ${timeout} ms`));
    timer = setTimeout(expired, timeout);
  });
  try {
    await Promise.race([body(vm), late]);
  } catch (error) {
    throw withConsole(error, vm, name, artifacts);
  } finally {
    clearTimeout(timer);
    // jest would wait for ever for a vCPU that is inside KVM_RUN.
    await vm.stop();
  }
}

function register(how: 'test' | 'only' | 'skip', name: string, o: VmTestOptions, body: Body): void {
  const { test } = globalThis as unknown as TestFramework;
  const add = how === 'test' ? test : test[how];
  add(name, () => runBody(name, o, body), (o.timeout ?? TIMEOUT_MS) + REPORT_MS);
}

/**
 * Registers a test that has a VM of its own, which is started before the body and stopped after it.
 * An error of the body shows the console's last lines; `artifacts` keeps all of it.
 *
 * ```ts
 * vmTest('boots', { kernel: 'vmlinux', timeout: 20_000 }, async (vm) => {
 *   await vm.waitFor('ready');
 *   expect(await vm.wait()).toMatchObject({ reason: 'power-off' });
 * });
 * ```
 */
export const vmTest = Object.assign(
  (name: string, options: VmTestOptions, body: Body) => register('test', name, options, body),
  {
    only: (name: string, options: VmTestOptions, body: Body) =>
      register('only', name, options, body),
    skip: (name: string, options: VmTestOptions, body: Body) =>
      register('skip', name, options, body),
  },
);
