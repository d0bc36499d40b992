/**
 * The host of virtio-vsock as unix sockets, by Firecracker's protocol: programs connect to PATH, write
 * "CONNECT <port>" and read "OK <port of theirs>" when the guest has accepted; the guest's connections
 * to port P of the host go to PATH_P. In the thread that serves the queues.
 */
import { chmodSync } from 'node:fs';
import { once } from 'node:events';
import { Socket, connect, createServer, type Server } from 'node:net';
import { MAX_CONNECTIONS } from '../../devices/virtio/vsock/connection-table.js';
import type {
  GuestPorts,
  HostStream,
  StreamListener,
  VsockBackend,
} from '../../devices/virtio/vsock/host-backend.js';
import { VexitError, errorMessage } from '../../util/errors.js';
import { readConnectLine } from './connect-line.js';
import { fitsSocketAddress, hostPortPath } from './socket-paths.js';
import { SocketStream } from './socket-stream.js';

const SOCKET_MODE = 0o600;

/** Programs of the host behind unix sockets. */
export class UnixBackend implements VsockBackend {
  private readonly server: Server;
  /** Programs that have not said yet what they want. */
  private readonly greeting = new Set<Socket>();
  private guest: GuestPorts | undefined;

  /** @param path the socket to listen on; nothing is there */
  constructor(private readonly path: string) {
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.greet(socket));
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  async open(guest: GuestPorts): Promise<void> {
    const { server, path } = this;
    this.guest = guest;
    try {
      server.listen(path);
      await once(server, 'listening');
      chmodSync(path, SOCKET_MODE);
    } catch (error) {
      throw new VexitError('ERR_VSOCK', `cannot listen on ${path}: ${errorMessage(error)}`);
    }
    // Sockets that cannot be accepted for want of files are closed; there is nothing to be done.
    server.on('error', () => undefined);
  }

  private greet(socket: Socket): void {
    this.greeting.add(socket);
    const forget = (): void => void this.greeting.delete(socket);
    socket.once('close', forget);
    readConnectLine(socket, (port) => {
      socket.removeListener('close', forget);
      forget();
      const stream = new SocketStream(socket);
      const listener = this.guest?.connect(port, stream);
      if (listener === undefined) socket.destroy();
      else stream.listen(listener);
    });
  }

  connect(hostPort: number, listener: StreamListener): HostStream {
    const path = hostPortPath(this.path, hostPort);
    // Longer ones would be cut, and lead elsewhere.
    const socket = fitsSocketAddress(path)
      ? connect({ path, allowHalfOpen: true })
      : new Socket().destroy(new Error('the path is too long'));
    const stream = new SocketStream(socket);
    stream.listen(listener);
    return stream;
  }

  async close(): Promise<void> {
    for (const socket of this.greeting) socket.destroy();
    if (!this.server.listening) return;
    // The file goes with it.
    await new Promise((resolve) => this.server.close(resolve));
  }
}
