/** Connects to a program of the guest by way of the device's unix socket, from any process. */
import { connect, type Socket } from 'node:net';
import { VexitError, systemCode } from '../../util/errors.js';

/** Settings of a connection to the guest. */
export interface VsockConnectOptions {
  /** Gives up waiting for the guest. */
  readonly signal?: AbortSignal;
  /** False (default): when the guest's program ends its side, the stream ends too. */
  readonly allowHalfOpen?: boolean;
}

/** Errors of a socket whose device does not listen yet, or has too many waiting. */
const RETRIED = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN']);
/** "OK 4294967295\n" */
const ANSWER_LIMIT = 14;
const NEWLINE = 10;

/**
 * One attempt to connect to a port of the guest; undefined when no device listens at the path.
 * @param path the device's socket
 * @throws VexitError ERR_VSOCK when the guest refuses; ERR_ABORTED by the signal
 */
export function dialGuest(
  path: string,
  port: number,
  { signal, allowHalfOpen = false }: VsockConnectOptions,
): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen });
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
        else done(() => handOver(socket, resolve));
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

function handOver(socket: Socket, resolve: (socket: Socket) => void): void {
  const ignore = (): void => undefined;
  socket.on('error', ignore);
  setImmediate(() => {
    socket.off('error', ignore);
    resolve(socket);
  });
}
