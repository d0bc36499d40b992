/** Streams between the programs of a guest and this process, by way of the device's unix sockets. */
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { VexitError, errorMessage } from '../../util/errors.js';
import type { HostSide } from '../virtio/host-side.js';
import { dialGuest, type VsockConnectOptions } from './dial.js';
import { claimSocketPath, hostPortPath } from './socket-paths.js';

/** Settings of a server for the guest. */
export type VsockListenOptions = Pick<VsockConnectOptions, 'allowHalfOpen'>;

/** How often a device is looked for that does not listen yet. */
const RETRY_MS = 10;

function checkPort(port: number): void {
  if (Number.isInteger(port) && port >= 0 && port < 2 ** 32 - 1) return;
  throw new VexitError('ERR_CONFIG', `${port} is not a vsock port`, 'give 0 to 4294967294');
}

/** The host's side of a VM's virtio-vsock. */
export class VsockHost implements HostSide {
  private readonly servers = new Set<Server>();

  /**
   * @param path the socket for programs of the host: they write "CONNECT <port>\n" first
   * @param guestCid the guest's address
   * @param running whether the VM could answer
   */
  constructor(
    readonly path: string,
    readonly guestCid: number,
    private readonly running: () => boolean,
  ) {}

  /**
   * Connects to a program that listens on a port of the guest. A guest that is still booting is
   * waited for until its driver is there.
   * @throws VexitError ERR_VSOCK when nobody listens there; ERR_ABORTED by the signal; ERR_STATE
   *   unless the VM runs; ERR_CONFIG for a port that is none
   */
  async connect(port: number, options: VsockConnectOptions = {}): Promise<Socket> {
    checkPort(port);
    for (;;) {
      if (!this.running()) throw new VexitError('ERR_STATE', 'the VM does not run');
      const socket = await dialGuest(this.path, port, options);
      if (socket !== undefined) return socket;
      await sleep(RETRY_MS);
    }
  }

  /**
   * Listens for connections of the guest to a port of the host: a server whose event 'connection'
   * brings a stream for each. It goes on over reboots and is closed with the VM.
   * @throws VexitError ERR_VSOCK when it cannot listen; ERR_CONFIG when somebody else does
   */
  async listen(port: number, { allowHalfOpen = false }: VsockListenOptions = {}): Promise<Server> {
    checkPort(port);
    const file = hostPortPath(this.path, port);
    claimSocketPath(file);
    const server = createServer({ allowHalfOpen });
    try {
      server.listen(file);
      await once(server, 'listening');
      chmodSync(file, 0o600);
    } catch (error) {
      throw new VexitError('ERR_VSOCK', `cannot listen on port ${port}: ${errorMessage(error)}`);
    }
    this.servers.add(server);
    server.once('close', () => this.servers.delete(server));
    return server;
  }

  /** The VM has ended. */
  end(): void {
    for (const server of this.servers) server.close();
  }
}
