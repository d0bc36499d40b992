/** Streams between the programs of a guest and this process, by way of the device's unix sockets. */
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import type { HostSide } from '../virtio/host-side.js';
import { claimSocketPath, hostPortPath } from './socket-paths.js';

/** Settings of a connection to the guest. */
export interface VsockConnectOptions {
  /** Gives up waiting for the guest. */
  readonly signal?: AbortSignal;
  /** False (default): when the guest's program ends its side, the stream ends too. */
  readonly allowHalfOpen?: boolean;
}

/** Settings of a server for the guest. */
export type VsockListenOptions = Pick<VsockConnectOptions, 'allowHalfOpen'>;

/** How often a device is looked for that does not listen yet. */
const RETRY_MS = 10;
/** Errors of a socket whose device does not listen yet, or has too many waiting. */
const RETRIED = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN']);
/** "OK 4294967295\n" */
const ANSWER_LIMIT = 14;
const NEWLINE = 10;

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
      const socket = await this.dial(port, options);
      if (socket !== undefined) return socket;
      await sleep(RETRY_MS);
    }
  }

  /** One attempt; undefined when the device does not listen. */
  private dial(
    port: number,
    { signal, allowHalfOpen = false }: VsockConnectOptions,
  ): Promise<Socket | undefined> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path: this.path, allowHalfOpen });
      let answer = '';
      const done = (end: () => void): void => {
        signal?.removeEventListener('abort', onAbort);
        socket.off('error', onError).off('end', onClose).off('close', onClose);
        socket.off('readable', onReadable);
        end();
      };
      const fail = (error: VexitError): void =>
        done(() => {
          socket.on('error', () => undefined).destroy();
          reject(error);
        });
      const onAbort = (): void =>
        fail(
          new VexitError('ERR_ABORTED', `connecting to port ${port} was aborted`, undefined, {
            cause: signal?.reason,
          }),
        );
      const onError = (error: Error): void => {
        if (RETRIED.has(systemCode(error) ?? '')) done(() => resolve(undefined));
        else fail(new VexitError('ERR_VSOCK', `no connection to the guest: ${error.message}`));
      };
      const onClose = (): void =>
        fail(
          new VexitError(
            'ERR_VSOCK',
            `the guest refuses a connection to port ${port}`,
            'a program in the guest has to listen on it',
          ),
        );
      // Byte by byte: what follows the line is the stream's.
      const onReadable = (): void => {
        for (let byte; (byte = socket.read(1) as Buffer | null) !== null;) {
          const end = byte[0] === NEWLINE;
          if (!end && answer.length < ANSWER_LIMIT) {
            answer += byte.toString('latin1');
            continue;
          }
          if (!end || !/^OK [0-9]+$/.test(answer)) onClose();
          // Only later does the stream forget that it was read in pieces.
          else done(() => this.handOver(socket, resolve));
          return;
        }
      };
      // A socket that may be half open ends without closing.
      socket.on('error', onError).on('end', onClose).on('close', onClose);
      socket.on('readable', onReadable);
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort);
      socket.write(`CONNECT ${port}\n`);
    });
  }

  private handOver(socket: Socket, resolve: (socket: Socket) => void): void {
    const ignore = (): void => undefined;
    socket.on('error', ignore);
    setImmediate(() => {
      socket.off('error', ignore);
      resolve(socket);
    });
  }

  /**
   * Listens for connections of the guest to a port of the host: a server whose event 'connection'
   * brings a stream for each. It goes on over reboots and is closed with the VM.
   * @throws VexitError ERR_VSOCK when it cannot listen; ERR_CONFIG when somebody else does
   */
  async listen(port: number, { allowHalfOpen = false }: VsockListenOptions = {}): Promise<Server> {
    checkPort(port);
    const file = hostPortPath(this.path, port);
    await claimSocketPath(file);
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
