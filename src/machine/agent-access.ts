/** Ways to the agent that serves vsock in a guest. */
import { GuestAgent } from '../agent/guest-agent.js';
import { AGENT_PORT } from '../agent/operation.js';
import { VexitError } from '../util/errors.js';
import { dialGuest } from './vsock/dial.js';
import type { VsockHost } from './vsock/vsock-host.js';

/** The agent behind a VM's own device. */
export function agentOf(vsock: VsockHost): GuestAgent {
  return new GuestAgent((signal) =>
    vsock.connect(AGENT_PORT, signal === undefined ? {} : { signal }),
  );
}

/**
 * The agent of a VM of another process, by the unix socket of its virtio-vsock. Nothing is connected
 * before an operation, which throws ERR_STATE when no VM listens there.
 * @param path the socket: option `vsock.path` of the VM, or its `vm.vsock.path`
 */
export function connectAgent(path: string): GuestAgent {
  return new GuestAgent(async (signal) => {
    const socket = await dialGuest(path, AGENT_PORT, signal === undefined ? {} : { signal });
    if (socket !== undefined) return socket;
    throw new VexitError('ERR_STATE', `no VM listens on ${path}`, 'start it first');
  });
}
