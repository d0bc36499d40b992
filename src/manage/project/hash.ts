/** Whether a VM still is what its file says. */
import { createHash } from 'node:crypto';
import type { ProjectMember } from '../records.js';
import type { Project, ProjectVm } from './project.js';

/** Keys in one order, so that moving lines in a file changes nothing. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What is written down of a project in the configuration of its VM. */
export function memberOf(project: Project, vm: ProjectVm): ProjectMember {
  const { name, config, health, stopMs } = vm;
  const dependsOn = vm.dependsOn.map((one) => one.vm).sort();
  const described = { config, health, stopMs, dependsOn, directory: project.directory };
  const hash = createHash('sha256').update(JSON.stringify(described, sorted)).digest('hex');
  const stop = stopMs === undefined ? {} : { stopMs };
  return { name: project.name, vm: name, hash, dependsOn, ...stop };
}
