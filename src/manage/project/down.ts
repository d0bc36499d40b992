/** Ends a project: stops its VMs, each after those that depend on it, and removes them. */
import { VexitError } from '../../util/errors.js';
import { STOP_GRACE_MS } from '../managed-vm.js';
import { isActive } from '../records.js';
import type { Vexit } from '../vexit.js';
import { membersOf, removeLans, unlessGone, type Member } from './members.js';
import type { OnProjectProgress } from './progress.js';

/** How a project is ended. */
export interface DownOptions {
  /** Instead of what the file said for each VM (10 s unless it did). */
  readonly graceMs?: number;
  /** Begins with no more VMs. */
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProjectProgress;
}

/** How the VMs of a project are stopped. */
export interface StopOptions extends DownOptions {
  /** Removes them too. */
  readonly remove: boolean;
}

async function stopOne({ vm, member }: Member, options: StopOptions): Promise<void> {
  const { graceMs = member.stopMs ?? STOP_GRACE_MS, onProgress, remove, signal } = options;
  signal?.throwIfAborted();
  const say = (step: 'stopping' | 'stopped' | 'removed'): void =>
    onProgress?.({ vm: member.vm, step });
  if (isActive((await vm.state()).status)) {
    say('stopping');
    await unlessGone(vm.stop(graceMs));
    if (!remove) say('stopped');
  }
  if (!remove) return;
  await unlessGone(vm.remove(true));
  say('removed');
}

/** Whether one VM depends on another one, directly or not, as their files said. */
function needs(members: ReadonlyMap<string, Member>, from: string, to: string): boolean {
  const reached = new Set(members.get(from)!.member.dependsOn);
  for (const name of reached)
    for (const next of members.get(name)?.member.dependsOn ?? []) reached.add(next);
  return reached.has(to);
}

/**
 * Stops VMs, those that others depend on after these. What goes wrong with one does not keep the others.
 * @throws VexitError the first that went wrong
 */
export async function stopMembers(
  members: ReadonlyMap<string, Member>,
  options: StopOptions,
): Promise<void> {
  const tasks = new Map<string, Promise<void>>();
  const stop = (name: string): Promise<void> => {
    const before = [...members.keys()].filter(
      // Files that have changed meanwhile may have left a cycle: nobody waits then.
      (other) => other !== name && needs(members, other, name) && !needs(members, name, other),
    );
    const known = tasks.get(name);
    if (known !== undefined) return known;
    const task = Promise.allSettled(before.map(stop)).then(() =>
      stopOne(members.get(name)!, options),
    );
    tasks.set(name, task);
    return task;
  };
  const results = await Promise.allSettled([...members.keys()].map(stop));
  const failed = results.find((result) => result.status === 'rejected');
  if (options.remove) removeLans([...members.values()].flatMap(({ lans }) => lans));
  if (failed === undefined) return;
  if (options.signal?.aborted === true) throw abortedError();
  throw failed.reason;
}

export function abortedError(): VexitError {
  return new VexitError('ERR_ABORTED', 'interrupted');
}

/** Ends a project whose lock the caller holds. Resolves with the names of its VMs in the file. */
export async function down(vexit: Vexit, project: string, options: DownOptions): Promise<string[]> {
  const members = membersOf(vexit, project);
  await stopMembers(members, { ...options, remove: true });
  return [...members.keys()];
}
