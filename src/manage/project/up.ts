/** Brings a project up: makes and starts what is not there, in the order of the dependencies. */
import { VexitError, errorMessage } from '../../util/errors.js';
import type { ManagedVm } from '../managed-vm.js';
import { STOP_GRACE_MS } from '../managed-vm.js';
import type { Vexit } from '../vexit.js';
import { waitFor } from './conditions.js';
import { abortedError, stopMembers } from './down.js';
import { memberOf } from './hash.js';
import { memberOfVm, membersOf, removeLans, unlessGone, type Member } from './members.js';
import { planUp, type Action, type Plan } from './plan.js';
import type { Condition, Project, ProjectVm } from './project.js';
import type { OnProjectProgress } from './progress.js';

/** How a project is brought up. */
export interface UpOptions {
  /** Only these, by their names in the file, and what they depend on. */
  readonly vms?: readonly string[];
  /** Removes VMs of the project that its file does not have any more. */
  readonly removeOrphans?: boolean;
  /** Resolves only when every VM with a health check is healthy. */
  readonly wait?: boolean;
  /** Takes back what has been done. */
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProjectProgress;
}

/** What was done with the VMs of a project. */
export interface UpResult {
  readonly project: string;
  readonly vms: readonly { readonly vm: string; readonly name: string; readonly action: Action }[];
  /** VMs of the project that its file does not have: by their names there. */
  readonly orphans: readonly string[];
}

/** How much of the log of a VM is shown that was not what it was to be. */
const LOG_LINES = 5;
const LOG_BYTES = 2000;

/** One call of `up`. */
class Up {
  private readonly tasks = new Map<string, Promise<void>>();
  /** What this call has made, and what it has only started. */
  private readonly made = new Set<ManagedVm>();
  private readonly started = new Set<ManagedVm>();
  private readonly vms = new Map<string, ManagedVm>();
  private readonly abort = new AbortController();
  private failure: Error | undefined;

  constructor(
    private readonly vexit: Vexit,
    private readonly project: Project,
    private readonly plan: Plan,
    private readonly options: UpOptions,
  ) {}

  async run(): Promise<void> {
    const { signal } = this.options;
    const onAbort = (): void => this.fail(abortedError());
    if (signal?.aborted === true) throw abortedError();
    signal?.addEventListener('abort', onAbort);
    try {
      // Each comes after what it depends on, so that there is a task to wait for.
      for (const { vm } of this.plan.steps) {
        const task = this.bring(vm).catch((error: unknown) => this.fail(error));
        this.tasks.set(vm.name, task);
      }
      await Promise.all(this.tasks.values());
      if (this.options.wait === true && this.failure === undefined) await this.waitForAll();
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    if (this.failure === undefined) return;
    await this.takeBack();
    throw this.failure;
  }

  private fail(error: unknown): void {
    // What is interrupted because of the first failure says nothing more.
    this.failure ??= error instanceof Error ? error : new Error(String(error));
    this.abort.abort();
  }

  private say(vm: string, step: Parameters<OnProjectProgress>[0]['step'], detail?: string): void {
    this.options.onProgress?.({ vm, step, ...(detail === undefined ? {} : { detail }) });
  }

  private async bring(vm: ProjectVm): Promise<void> {
    const { action, existing } = this.plan.steps.find((step) => step.vm === vm)!;
    await Promise.all(vm.dependsOn.map((one) => this.condition(one.vm, one.condition)));
    this.abort.signal.throwIfAborted();
    if (action === 'kept') {
      this.vms.set(vm.name, existing!.vm);
      this.say(vm.name, 'kept');
      return;
    }
    const managed = action === 'started' ? existing!.vm : await this.make(vm, existing);
    this.vms.set(vm.name, managed);
    this.say(vm.name, 'starting');
    if (action === 'started') this.started.add(managed);
    try {
      await managed.start();
    } catch (error) {
      throw located(vm, error);
    }
    this.say(vm.name, 'started');
  }

  private async make(vm: ProjectVm, existing: Member | undefined): Promise<ManagedVm> {
    if (existing !== undefined) {
      const only = new Map([[vm.name, existing]]);
      const { onProgress } = this.options;
      await stopMembers(only, {
        remove: true,
        ...(onProgress === undefined ? {} : { onProgress }),
      });
    }
    this.say(vm.name, 'creating');
    const { config, health, vmName } = vm;
    try {
      const managed = await this.vexit.create({
        ...config,
        ...(health === undefined ? {} : { health }),
        name: vmName,
        directory: this.project.directory,
        project: memberOf(this.project, vm),
      });
      this.made.add(managed);
      return managed;
    } catch (error) {
      throw located(vm, error);
    }
  }

  private async condition(name: string, condition: Condition): Promise<void> {
    await this.tasks.get(name);
    this.abort.signal.throwIfAborted();
    // It has just been started; how it went on is its own affair.
    if (condition === 'started') return;
    this.say(name, 'waiting', condition);
    try {
      await waitFor(this.vms.get(name)!, name, condition, this.abort.signal);
    } catch (error) {
      if (!this.abort.signal.aborted) this.say(name, 'failed', await this.lastWords(name));
      throw error;
    }
    this.say(name, condition);
  }

  private async waitForAll(): Promise<void> {
    const checked = this.plan.steps.filter(({ vm }) => vm.health !== undefined);
    await Promise.all(
      checked.map(({ vm }) =>
        this.condition(vm.name, 'healthy').catch((error: unknown) => this.fail(error)),
      ),
    );
  }

  private async lastWords(name: string): Promise<string> {
    const pieces: Buffer[] = [];
    try {
      for await (const bytes of this.vms.get(name)!.logs({ tail: LOG_LINES })) pieces.push(bytes);
    } catch (error) {
      return errorMessage(error);
    }
    return Buffer.concat(pieces).toString('utf8').slice(-LOG_BYTES).trim();
  }

  /** Leaves what was there before this call, and nothing else. */
  private async takeBack(): Promise<void> {
    const lans = [...this.made].flatMap((vm) => memberOfVm(vm)?.lans ?? []);
    const undo = [
      ...[...this.made].map((vm) => unlessGone(vm.remove(true))),
      ...[...this.started].map((vm) => unlessGone(vm.stop(STOP_GRACE_MS))),
    ];
    // Why it failed matters more than what could not be taken back.
    await Promise.allSettled(undo);
    removeLans(lans);
  }
}

/** Whose start it was that failed. */
function located({ name }: ProjectVm, error: unknown): unknown {
  if (!(error instanceof VexitError)) return error;
  return new VexitError(error.code, `${name}: ${error.message}`, error.hint, { cause: error });
}

/**
 * Brings a project up whose lock the caller holds.
 * @throws VexitError why that is not possible; what this call has made and started is gone then
 */
export async function up(vexit: Vexit, project: Project, options: UpOptions): Promise<UpResult> {
  const members = membersOf(vexit, project.name);
  const plan = await planUp(vexit, project, members, options.vms);
  const orphans = new Map([...members].filter(([name]) => !project.vms.has(name)));
  if (options.removeOrphans === true) {
    const { signal, onProgress } = options;
    await stopMembers(orphans, {
      remove: true,
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }
  await new Up(vexit, project, plan, options).run();
  return {
    project: project.name,
    vms: plan.steps.map(({ vm, action }) => ({ vm: vm.name, name: vm.vmName, action })),
    orphans: [...orphans.keys()],
  };
}
