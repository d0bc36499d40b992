/** The process of a VM, as commands have to do with it: it is asked, awaited, and ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { VexitError, systemCode } from '../util/errors.js';
import { ANSWER_MS, ask } from './control-client.js';
import { processStart } from './host-identity.js';
import { reap } from './reap.js';
import { isActive, type VmExit } from './records.js';
import type { Store } from './store.js';
import type { VmDirectory } from './vm-directory.js';

/** A process that has written down its end is gone in milliseconds. */
const ENDING_MS = 20_000;
/** How much later a process is gone that has closed its connections. */
const ENDING_LOOK_MS = 2000;
const POLL_MS = 5;

/** What is said of a VM whose state does not allow what it is asked for. */
export function wrongState({ name }: VmDirectory, what: string, hint?: string): VexitError {
  return new VexitError('ERR_VM_STATE', `VM ${name} ${what}`, hint);
}

/** Of one VM. */
export class ProcessControl {
  /** @param current the VM's directory, which may get another name */
  constructor(
    private readonly store: Store,
    private readonly current: () => VmDirectory,
  ) {}

  private get directory(): VmDirectory {
    return this.current();
  }

  /**
   * Asks it, also while it starts: a process has its socket a moment after it begins.
   * @throws VexitError as {@link ask} does
   */
  async ask(request: Readonly<Record<string, unknown>>, timeoutMs?: number): Promise<unknown> {
    const end = Date.now() + ANSWER_MS;
    for (;;) {
      try {
        return await ask(this.directory, request, timeoutMs);
      } catch (error) {
        const early = error instanceof VexitError && error.code === 'ERR_VM_STATE';
        const trying = early && error.cause !== undefined && Date.now() < end;
        if (!trying || !this.isStarting()) throw error;
      }
      await sleep(POLL_MS);
    }
  }

  private isStarting(): boolean {
    reap(this.store, this.directory);
    return this.directory.readRecord().status === 'starting';
  }

  /**
   * Waits until it has ended.
   * @throws VexitError ERR_CONTROL when it does not
   */
  async ended(): Promise<void> {
    const end = Date.now() + ENDING_MS;
    while (this.directory.isAlive()) {
      if (Date.now() > end) {
        throw new VexitError(
          'ERR_CONTROL',
          `the process of VM ${this.directory.name} does not end`,
          'end it with: vexit kill',
        );
      }
      await sleep(POLL_MS);
    }
    reap(this.store, this.directory);
  }

  /**
   * The end of a VM that another command may have ended just when it was asked to end: then it is as it
   * was to be.
   * @throws what asking has thrown, unless the VM has ended
   */
  async endedMeanwhile(error: unknown): Promise<VmExit> {
    if (!(error instanceof VexitError) || error.code !== 'ERR_CONTROL') throw error;
    if (this.directory.isAlive()) await sleep(ENDING_LOOK_MS);
    if (this.directory.isAlive()) throw error;
    reap(this.store, this.directory);
    const { exit } = this.directory.readRecord();
    if (exit === undefined) throw error;
    return exit;
  }

  /**
   * Waits for the end of the VM, which may have been long ago.
   * @throws VexitError ERR_VM_STATE when it has never been started
   */
  async exit(): Promise<VmExit> {
    for (;;) {
      reap(this.store, this.directory);
      const { status, exit } = this.directory.readRecord();
      if (status === 'exited' && exit !== undefined) return exit;
      if (!isActive(status)) throw wrongState(this.directory, 'has not been started');
      try {
        return (await ask(this.directory, { op: 'wait' }, Infinity)) as VmExit;
      } catch (error) {
        if (!(error instanceof VexitError)) throw error;
        // Killed, just starting, or ended while it was asked: its files say so next time.
      }
      await sleep(POLL_MS);
    }
  }

  /** Ends it with SIGKILL, if there is one. */
  kill(): void {
    if (!this.directory.isAlive()) return;
    const { pid, processStart: started } = this.directory.readRecord();
    // The lock says that there is a process; the start time says that this still is its id.
    if (pid === undefined || processStart(pid) !== started) return;
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (systemCode(error) !== 'ESRCH') throw error;
    }
  }
}
