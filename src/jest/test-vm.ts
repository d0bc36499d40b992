/** A virtual machine as a test sees it: what it prints, what it is typed, how it ends. */
import {
  VirtualMachine,
  VexitError,
  type ExitReport,
  type VirtualMachineOptions,
} from '../index.js';
import { ConsoleLog } from './console-log.js';

/** How long a test waits for a text or the end, unless it says otherwise. */
const WAIT_MS = 30_000;

export class TestVm {
  readonly console: ConsoleLog;
  /** What the command of the default guest prints; undefined without a command. */
  readonly stdout: ConsoleLog | undefined;
  readonly stderr: ConsoleLog | undefined;

  private constructor(readonly vm: VirtualMachine) {
    this.console = new ConsoleLog(vm.console.output);
    const { command } = vm;
    this.stdout = command === undefined ? undefined : new ConsoleLog(command.stdout);
    this.stderr = command === undefined ? undefined : new ConsoleLog(command.stderr);
  }

  /**
   * Makes a VM and starts it.
   * @throws VexitError of {@link VirtualMachine.create}
   */
  static async start(options: VirtualMachineOptions): Promise<TestVm> {
    const vm = await VirtualMachine.create(options);
    const test = new TestVm(vm);
    try {
      await vm.start();
    } catch (error) {
      await vm.stop();
      throw error;
    }
    return test;
  }

  /**
   * Waits until the guest has printed a text, after the one that was waited for before.
   * @param milliseconds how long to wait, 30 s by default
   * @returns the match: the whole text, then the groups
   * @throws ConsoleError with the console's last lines
   */
  waitFor(pattern: RegExp | string, milliseconds = WAIT_MS): Promise<string[]> {
    return this.console.waitFor(pattern, milliseconds);
  }

  /** Types a text on the guest's console. */
  type(text: string): void {
    this.vm.console.input.write(text);
  }

  /**
   * Waits for the guest's end.
   * @throws VexitError ERR_STATE with the console's last lines when it goes on
   */
  async wait(milliseconds = WAIT_MS): Promise<ExitReport> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const tail = this.console.tail();
        const message = `the guest has not ended within ${milliseconds} ms; the console's end:\n${tail}`;
        reject(new VexitError('ERR_STATE', message));
      }, milliseconds);
    });
    try {
      return await Promise.race([this.vm.wait(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Switches the VM off, whatever it does. */
  stop(): Promise<void> {
    return this.vm.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
