/** The VMs of a project that are on this host, whatever its file says now. */
import { netSettings } from '../../machine/device-options.js';
import { clearLan } from '../../net/lan/clear-lan.js';
import { VexitError } from '../../util/errors.js';
import type { ManagedVm } from '../managed-vm.js';
import type { ProjectMember } from '../records.js';
import type { Vexit } from '../vexit.js';

/** A VM and what it is in its project. */
export interface Member {
  readonly vm: ManagedVm;
  readonly member: ProjectMember;
  /** LANs that it is on when it runs. */
  readonly lans: readonly string[];
}

/** What a VM is in a project; undefined when it is in none, or its files make no sense. */
export function memberOfVm(vm: ManagedVm): Member | undefined {
  try {
    const { project, options } = vm.config;
    if (project === undefined) return undefined;
    const lans = netSettings(options).flatMap((net) => (net.kind === 'lan' ? [net.lan] : []));
    return { vm, member: project, lans };
  } catch (error) {
    if (!(error instanceof VexitError)) throw error;
    return undefined;
  }
}

/** The VMs of a project by their names in its file. */
export function membersOf(vexit: Vexit, project: string): Map<string, Member> {
  const members = vexit
    .list()
    .map(memberOfVm)
    .filter((one) => one?.member.name === project);
  return new Map(members.map((one) => [one!.member.vm, one!]));
}

/** Removes what LANs have left on the host, if nobody is on them any more. */
export function removeLans(lans: Iterable<string>): void {
  for (const lan of new Set(lans)) clearLan(lan);
}

/** Waits for work on a VM, unless that has ended or gone already: then it is as it was to be. */
export async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const gone =
      error instanceof VexitError && ['ERR_VM_STATE', 'ERR_NOT_FOUND'].includes(error.code);
    if (!gone) throw error;
  }
}
