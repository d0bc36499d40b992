/** What a VM is created with. */
import type { VirtualMachineOptions } from '../machine/config.js';
import { withAgent } from './guest-agent.js';
import { checkHealth, type HealthCheck } from './health/health-check.js';
import { randomId } from './paths.js';
import { checkPlain, type ProjectMember, type VmConfig } from './records.js';
import { checkLimits, isLimited, type ResourceLimits } from './resources/limits.js';
import { NO_RESTART, type RestartPolicy } from './restart-policy.js';

/** A VM that is to be managed. */
export interface NewConfig {
  /** As for `VirtualMachine.create`; plain data only, because it is kept in a file. */
  readonly options: VirtualMachineOptions;
  /** Default: `no`. */
  readonly restart?: RestartPolicy;
  /** Removes the VM when it has ended; default: false. */
  readonly autoRemove?: boolean;
  readonly detached?: boolean;
  /** What goes to the log besides the console. */
  readonly log?: VmConfig['log'];
  /** What it may take of the host; default: whatever there is. */
  readonly resources?: ResourceLimits;
  /** Checked by the VM's process as long as it runs. */
  readonly health?: HealthCheck;
  /** What relative paths in the options are relative to; default: the working directory. */
  readonly directory?: string;
  /** @internal set by `Vexit.up` */
  readonly project?: ProjectMember;
}

/** @throws VexitError ERR_CONFIG for options that cannot be kept */
export function newConfig(asked: NewConfig): VmConfig {
  const { restart = NO_RESTART, autoRemove = false, detached = true } = asked;
  const { log, project, resources } = asked;
  checkPlain(asked.options);
  if (resources !== undefined) checkLimits(resources);
  const options = detached ? withAgent(asked.options) : asked.options;
  const health = asked.health === undefined ? undefined : checkHealth(asked.health, options);
  return {
    version: 1,
    id: randomId(),
    created: new Date().toISOString(),
    directory: asked.directory ?? process.cwd(),
    restart,
    autoRemove,
    detached,
    ...(log === undefined ? {} : { log }),
    ...(isLimited(resources) ? { resources } : {}),
    ...(health === undefined ? {} : { health }),
    ...(project === undefined ? {} : { project }),
    options,
  };
}
