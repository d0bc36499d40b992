/** A unix socket as the host's end of a connection of virtio-vsock. */
import type { Socket } from 'node:net';
import type { HostStream, StreamListener } from '../../devices/virtio/vsock/host-backend.js';

/** A stream over a socket, which may be on its way still. Half-open sockets have to be allowed. */
export class SocketStream implements HostStream {
  private listener: StreamListener | undefined;
  private readonly onWrite = (error?: Error | null): void => {
    // After an error the close follows.
    if (error === undefined || error === null) this.listener?.onWritten();
  };

  constructor(private readonly socket: Socket) {
    socket.pause();
  }

  /** Reports to a listener from now on. */
  listen(listener: StreamListener): void {
    const { socket } = this;
    this.listener = listener;
    let failed = false;
    socket.on('connect', () => listener.onOpen());
    socket.on('data', (bytes) => listener.onData(bytes));
    socket.on('end', () => listener.onEnd());
    socket.on('finish', () => listener.onFinish());
    socket.on('error', () => (failed = true));
    socket.on('close', () => listener.onClose(failed));
  }

  accepted(hostPort: number): void {
    this.socket.write(`OK ${hostPort}\n`);
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes, this.onWrite);
  }

  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  end(): void {
    this.socket.end();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
