/** Several VMs that belong together, as a file describes them. */
import type { FullHealthCheck } from '../health/health-check.js';
import type { NewConfig } from '../new-config.js';
import type { Dependency } from './dependency.js';

/** A VM of a project. */
export interface ProjectVm {
  /** As in the file. */
  readonly name: string;
  /** As on the host. */
  readonly vmName: string;
  /** What it is created with. */
  readonly config: Pick<NewConfig, 'options' | 'restart' | 'log' | 'resources'>;
  readonly health?: FullHealthCheck;
  readonly dependsOn: readonly Dependency[];
  /** How long its guest has to power off. */
  readonly stopMs?: number;
}

/** A project. */
export interface Project {
  readonly name: string;
  /** Where the file is; absolute. */
  readonly file: string;
  /** What its paths are relative to; absolute. */
  readonly directory: string;
  /** By the names in the file; each after those that it depends on. */
  readonly vms: ReadonlyMap<string, ProjectVm>;
}
