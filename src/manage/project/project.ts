/** Several VMs that belong together, as a file describes them. */
import type { FullHealthCheck } from '../health/health-check.js';
import type { NewConfig } from '../new-config.js';

/**
 * What is waited for: the guest runs; its health check says that it does what it is there for; it has
 * ended with status 0.
 */
export type Condition = 'started' | 'healthy' | 'completed';

/** A VM that has to be there first. */
export interface Dependency {
  readonly vm: string;
  readonly condition: Condition;
}

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

/** How a project's file is read. */
export interface ReadOptions {
  /** Name of the project instead of the one in the file. */
  readonly name?: string;
  /** Variables for `${NAME}`; default: those of this process. */
  readonly env?: Readonly<NodeJS.ProcessEnv>;
}
