/** From the options of a VM to what it is made from. */
import type { AgentChannel } from '../agent/agent-channel.js';
import type { GuestAgent } from '../agent/guest-agent.js';
import { planBoot, type BootPlan } from './boot-plan.js';
import {
  agentHasPort,
  checkConfig,
  vsockDevice,
  type MachineConfig,
  type VirtualMachineOptions,
} from './config.js';
import { openDevices, type OpenDevices } from './open-devices.js';
import { loadDeviceClasses, type DeviceClasses } from './virtio/make-device.js';
import type { VsockHost } from './vsock/vsock-host.js';

/** What every power-on of a VM has in common. */
export interface VmParts {
  readonly config: MachineConfig;
  readonly plan: BootPlan;
  readonly classes: DeviceClasses;
  /** Whoever has the parts closes them. */
  readonly devices: OpenDevices;
  /** For the channel to the default guest's command; undefined for other guests. */
  readonly channel: typeof AgentChannel | undefined;
  /** For the agent behind virtio-vsock; undefined for a VM without it. */
  readonly agentOf: ((vsock: VsockHost) => GuestAgent) | undefined;
}

/**
 * Checks the options, opens the devices and plans the boot.
 * @throws VexitError; nothing is left behind
 */
export async function prepareParts(options: VirtualMachineOptions): Promise<VmParts> {
  const checked = checkConfig(options);
  const asked = { ...options, vsock: vsockDevice(options) };
  const devices = await openDevices(asked, checked.memory, agentHasPort(options));
  try {
    const config = { ...checked, devices: devices.specs };
    const plan = await planBoot(options, config);
    const classes = await loadDeviceClasses(config.devices);
    const channel = plan.hasAgent
      ? (await import('../agent/agent-channel.js')).AgentChannel
      : undefined;
    const agentOf = asked.vsock === false ? undefined : (await import('./agent-access.js')).agentOf;
    return { config, plan, classes, devices, channel, agentOf };
  } catch (error) {
    devices.abandon();
    throw error;
  }
}
