/** The VM's end of its control socket: hands requests to the VM and connections to streams. */
import fs from 'node:fs';
import net from 'node:net';
import { VexitError, errorMessage } from '../util/errors.js';
import { FrameReader, decodeJson, encodeJson, type Frame } from './frames.js';

/** A request: `op` says what, the rest is its business. */
export type ControlRequest = Readonly<Record<string, unknown>>;

/** Takes over a connection after its reply has been sent. */
export type StreamHandler = (connection: ControlStream) => void;

/** What an operation answers: a value, or a stream behind it. */
export interface ControlReply {
  readonly value?: unknown;
  readonly stream?: StreamHandler;
}

export type Operation = (
  request: ControlRequest,
  gone: AbortSignal,
) => ControlReply | Promise<ControlReply>;

/** A connection that has become a stream of frames. */
export interface ControlStream {
  readonly socket: net.Socket;
  /** Called for every frame from now on. */
  onFrame: (frame: Frame) => void;
}

const MAX_CONNECTIONS = 64;
/** Who connects and says nothing does not keep one of the connections. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How long a reader may take for the last bytes. */
const CLOSE_MS = 1000;

/** An error as it goes over the connection. */
export function describeError(error: unknown): Record<string, unknown> {
  if (error instanceof VexitError) {
    const { code, message, hint } = error;
    return { code, message, hint };
  }
  return { code: 'ERR_CONTROL', message: errorMessage(error) };
}

/** One server; the socket's directory lets nobody else in. */
export class ControlServer {
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();
  private readonly unanswered = new Set<Promise<unknown>>();

  private constructor(private readonly operations: ReadonlyMap<string, Operation>) {
    this.server = net.createServer((socket) => this.accept(socket));
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  /**
   * Listens. A socket that is there already belonged to a process that has ended: the caller has the
   * lock of the living one.
   */
  static async listen(
    path: string,
    operations: ReadonlyMap<string, Operation>,
  ): Promise<ControlServer> {
    fs.rmSync(path, { force: true });
    const control = new ControlServer(operations);
    await new Promise<void>((resolve, reject) => {
      control.server.once('error', reject);
      control.server.listen(path, resolve);
    });
    return control;
  }

  private accept(socket: net.Socket): void {
    this.sockets.add(socket);
    const gone = new AbortController();
    const reader = new FrameReader();
    let stream: ControlStream | undefined;
    let asked = false;
    const early: Frame[] = [];
    socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.sockets.delete(socket);
      gone.abort();
    });
    const begin = async (frame: Frame): Promise<void> => {
      socket.setTimeout(0);
      const answered = this.serve(socket, frame, gone.signal);
      this.unanswered.add(answered);
      const handler = await answered.finally(() => this.unanswered.delete(answered));
      if (handler === undefined || socket.destroyed) return;
      stream = { socket, onFrame: () => undefined };
      handler(stream);
      for (const waiting of early.splice(0)) stream.onFrame(waiting);
    };
    socket.on('data', (bytes) => {
      try {
        for (const frame of reader.push(bytes)) {
          if (!asked) {
            asked = true;
            void begin(frame);
          } else if (stream !== undefined) stream.onFrame(frame);
          // A client waits for the reply before it goes on; one that does not is cut off.
          else if (early.push(frame) > 16) socket.destroy();
        }
      } catch {
        socket.destroy();
      }
    });
  }

  private async serve(
    socket: net.Socket,
    frame: Frame,
    gone: AbortSignal,
  ): Promise<StreamHandler | undefined> {
    try {
      const request = decodeJson(frame);
      const operation = this.operations.get(String(request.op));
      if (operation === undefined) {
        throw new VexitError(
          'ERR_CONTROL',
          `the VM's process does not know how to ${String(request.op)}`,
          'it runs another version of vexit: restart the VM',
        );
      }
      const { value = null, stream } = await operation(request, gone);
      if (stream === undefined) socket.end(encodeJson({ value }));
      else socket.write(encodeJson({ value }));
      return stream;
    } catch (error) {
      socket.end(encodeJson({ error: describeError(error) }));
      return undefined;
    }
  }

  /** Lets what is being answered arrive, then closes every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    const timer = setTimeout(() => {
      for (const socket of this.sockets) socket.destroy();
    }, CLOSE_MS);
    const late = new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    await Promise.race([Promise.allSettled(this.unanswered), late]);
    for (const socket of this.sockets) socket.end();
    await closed;
    clearTimeout(timer);
  }
}
