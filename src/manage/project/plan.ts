/** What `up` has to do: the VMs of the file beside those that are there. */
import { VexitError } from '../../util/errors.js';
import type { ManagedVm } from '../managed-vm.js';
import { isActive, type VmRecord } from '../records.js';
import type { Vexit } from '../vexit.js';
import { memberOf } from './hash.js';
import type { Member } from './members.js';
import { withDependencies } from './order.js';
import type { Project, ProjectVm } from './project.js';
import { suggest } from './suggestion.js';

/** What is done with a VM: it was not there, has changed, did not run, or is as it is to be. */
export type Action = 'created' | 'recreated' | 'started' | 'kept';

/** One VM. */
export interface Step {
  readonly vm: ProjectVm;
  readonly action: Action;
  /** What is there of it. */
  readonly existing?: Member;
}

/** What is done, each VM after those that it depends on. */
export interface Plan {
  readonly steps: readonly Step[];
}

/**
 * What has to be done with a VM.
 * @param completed others wait for its end, which has been: it is not run again
 */
export function actionFor(
  hash: string,
  existing: { readonly hash: string; readonly state: VmRecord } | undefined,
  completed: boolean,
): Action {
  if (existing === undefined) return 'created';
  if (existing.hash !== hash) return 'recreated';
  const { status, exit } = existing.state;
  if (isActive(status)) return 'kept';
  return completed && status === 'exited' && exit?.status === 0 ? 'kept' : 'started';
}

/** The VMs that are wanted. @throws VexitError ERR_NOT_FOUND for one that is not in the file */
function wanted({ vms }: Project, asked: readonly string[] = []): Set<string> {
  for (const name of asked) {
    if (vms.has(name)) continue;
    const near = suggest(name, [...vms.keys()]);
    const hint =
      near === undefined ? `VMs are ${[...vms.keys()].join(', ')}` : `did you mean ${near}?`;
    throw new VexitError('ERR_NOT_FOUND', `the file has no VM ${name}`, hint);
  }
  const graph = new Map(
    [...vms].map(([name, { dependsOn }]) => [name, dependsOn.map(({ vm }) => vm)]),
  );
  return withDependencies(graph, asked.length === 0 ? [...vms.keys()] : asked);
}

/** A VM of another project, or of none, that has the name. */
function foreign(vexit: Vexit, name: string): ManagedVm | undefined {
  return vexit.list().find((vm) => vm.name === name);
}

/**
 * Plans, before anything is changed.
 * @param members the project's VMs on this host
 * @throws VexitError ERR_EXISTS when a VM that is not of the project has a name that it needs
 */
export async function planUp(
  vexit: Vexit,
  project: Project,
  members: ReadonlyMap<string, Member>,
  asked?: readonly string[],
): Promise<Plan> {
  const names = wanted(project, asked);
  const waitedFor = new Set(
    [...project.vms.values()].flatMap(({ dependsOn }) =>
      dependsOn.filter(({ condition }) => condition === 'completed').map(({ vm }) => vm),
    ),
  );
  const steps: Step[] = [];
  for (const vm of project.vms.values()) {
    if (!names.has(vm.name)) continue;
    // It may have been renamed: it is the project's all the same.
    const existing = members.get(vm.name);
    if (existing === undefined && foreign(vexit, vm.vmName) !== undefined) {
      throw new VexitError(
        'ERR_EXISTS',
        `a VM called ${vm.vmName} is there already, and not ${vm.name} of project ${project.name}`,
        'rename it, or give the project another name',
      );
    }
    const there =
      existing === undefined
        ? undefined
        : { hash: existing.member.hash, state: await existing.vm.state() };
    const action = actionFor(memberOf(project, vm).hash, there, waitedFor.has(vm.name));
    steps.push({ vm, action, ...(existing === undefined ? {} : { existing }) });
  }
  return { steps };
}
