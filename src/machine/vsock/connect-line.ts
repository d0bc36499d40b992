/** The first line of a program of the host: Firecracker's "CONNECT <port>". */
import type { Socket } from 'node:net';

/** Bytes of the line at most, with its end. */
const LINE_LIMIT = 32;
/** How long a program may take to write it. */
const LINE_TIMEOUT_MS = 10_000;
const NEWLINE = 10;

/** The port that a line names, without its end; undefined for any other line. */
export function parseConnectLine(line: string): number | undefined {
  const digits = /^connect +([0-9]{1,10})\r?$/i.exec(line)?.[1];
  const port = Number(digits ?? NaN);
  return port < 2 ** 32 ? port : undefined;
}

/**
 * Reads the line off a socket, and leaves the socket paused behind it. A socket that brings
 * something else, or nothing for too long, is destroyed.
 */
export function readConnectLine(socket: Socket, done: (port: number) => void): void {
  let text = Buffer.alloc(0);
  const onData = (bytes: Buffer): void => {
    text = Buffer.concat([text, bytes.subarray(0, LINE_LIMIT)]);
    const end = text.indexOf(NEWLINE);
    if (end < 0 && text.length < LINE_LIMIT) return;
    const port = end < LINE_LIMIT ? parseConnectLine(text.toString('latin1', 0, end)) : undefined;
    if (end < 0 || port === undefined) {
      socket.destroy();
      return;
    }
    socket
      .removeListener('data', onData)
      .removeListener('end', onEnd)
      .removeListener('error', noop);
    socket.setTimeout(0);
    socket.pause();
    const before = text.length - Math.min(bytes.length, LINE_LIMIT);
    const rest = bytes.subarray(end + 1 - before);
    if (rest.length > 0) socket.unshift(rest);
    done(port);
  };
  const onEnd = (): void => void socket.destroy();
  const noop = (): void => undefined;
  socket.on('data', onData).on('end', onEnd).on('error', noop);
  socket.setTimeout(LINE_TIMEOUT_MS, onEnd);
}
