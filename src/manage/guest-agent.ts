/**
 * The agent in the guest of a managed VM: which VMs have one, and the way to it. Its socket is that of
 * virtio-vsock, in the VM's directory unless the options name a place.
 */
import fs from 'node:fs';
import type { Socket } from 'node:net';
import path from 'node:path';
import { untilReached } from '../agent/attempts.js';
import { GuestAgent } from '../agent/guest-agent.js';
import { AGENT_PORT } from '../agent/operation.js';
import { bootsDefaultGuest, vsockDevice, type VirtualMachineOptions } from '../machine/config.js';
import { dialGuest } from '../machine/vsock/dial.js';
import { VexitError, systemCode } from '../util/errors.js';
import type { VmConfig } from './records.js';
import type { VmDirectory } from './vm-directory.js';
import { askedVsockPath } from './vsock-place.js';

/** How long a guest may take to have its agent: slow ones boot that long. */
const READY_MS = 120_000;

/** The default guest of a VM in the background runs the agent, unless the options say otherwise. */
export function withAgent(options: VirtualMachineOptions): VirtualMachineOptions {
  if (options.agent !== undefined || !bootsDefaultGuest(options)) return options;
  return { ...options, agent: true };
}

/** One attempt. The path goes by a descriptor of the directory, as that of the control socket. */
async function dial(
  directory: VmDirectory,
  config: VmConfig,
  signal: AbortSignal,
): Promise<Socket | undefined> {
  const asked = askedVsockPath(config);
  if (asked !== undefined) return dialGuest(asked, AGENT_PORT, { signal });
  let fd: number;
  try {
    fd = fs.openSync(directory.path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const file = path.basename(directory.vsockSocket);
    return await dialGuest(`/proc/self/fd/${fd}/${file}`, AGENT_PORT, { signal });
  } finally {
    fs.closeSync(fd);
  }
}

/** Connects to the agent; waits for a guest that is just booting. */
function connect(
  directory: VmDirectory,
  config: VmConfig,
  asked: AbortSignal | undefined,
): Promise<Socket> {
  const { name } = directory;
  const late = AbortSignal.timeout(READY_MS);
  const signal = asked === undefined ? late : AbortSignal.any([asked, late]);
  return untilReached(async () => {
    try {
      const socket = await dial(directory, config, signal);
      if (socket !== undefined) return socket;
      if (!directory.isAlive()) {
        throw new VexitError('ERR_VM_STATE', `VM ${name} is not running`);
      }
    } catch (error) {
      const refused = error instanceof VexitError && error.code === 'ERR_VSOCK';
      if (!refused && !late.aborted) throw error;
    }
    if (asked?.aborted !== true && late.aborted) {
      throw new VexitError(
        'ERR_AGENT',
        `the agent in the guest of VM ${name} has not answered for ${READY_MS / 1000} s`,
        `see whether the guest has booted: vexit logs ${name}`,
      );
    }
    return undefined;
  }, signal);
}

/**
 * The agent of a VM. Nothing is connected before an operation, which waits for the agent.
 * @throws VexitError ERR_VM_STATE when the VM has no way to one
 */
export function agentOf(directory: VmDirectory, config: VmConfig): GuestAgent {
  if (vsockDevice(config.options) === false) {
    throw new VexitError(
      'ERR_VM_STATE',
      `VM ${directory.name} has no agent`,
      config.detached
        ? 'VMs of the default guest have one; another guest needs --vsock and "vexit guest agent"'
        : 'it was run on a terminal; VMs of "vexit run -d" and "vexit create" have one',
    );
  }
  return new GuestAgent((signal) => connect(directory, config, signal));
}
