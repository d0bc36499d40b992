/** A command's end of a VM's control socket. */
import fs from 'node:fs';
import net from 'node:net';
import { VexitError, systemCode, type ErrorCode } from '../util/errors.js';
import { FrameReader, decodeJson, encodeJson, type Frame } from './frames.js';
import type { VmDirectory } from './vm-directory.js';

/** How long a VM's process has to answer a question. */
export const ANSWER_MS = 10_000;

interface WireError {
  readonly code?: ErrorCode;
  readonly message?: string;
  readonly hint?: string;
}

/**
 * Connects. The path goes by a descriptor of the directory: the path of a unix socket ends at 107
 * bytes, that of a directory does not.
 */
async function connect(directory: VmDirectory): Promise<net.Socket> {
  const notRunning = (cause: unknown): VexitError =>
    new VexitError('ERR_VM_STATE', `VM ${directory.name} is not running`, undefined, { cause });
  let fd: number;
  try {
    fd = fs.openSync(directory.path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  } catch (error) {
    throw notRunning(error);
  }
  try {
    return await new Promise<net.Socket>((resolve, reject) => {
      const socket = net.connect(`/proc/self/fd/${fd}/control.sock`);
      socket.once('error', (error) => {
        const code = systemCode(error);
        if (code === 'ENOENT' || code === 'ECONNREFUSED') reject(notRunning(error));
        else reject(new VexitError('ERR_CONTROL', `VM ${directory.name}: ${error.message}`));
      });
      socket.once('connect', () => resolve(socket));
    });
  } finally {
    fs.closeSync(fd);
  }
}

/** A connection whose request has been answered. */
export class ControlConnection {
  private onFrame: ((frame: Frame) => void) | undefined;
  private early: Frame[] = [];

  private constructor(
    readonly socket: net.Socket,
    /** The answer. */
    readonly value: unknown,
  ) {}

  /**
   * Asks a VM's process.
   * @param timeoutMs how long to wait for the answer; Infinity: as long as it takes
   * @throws VexitError ERR_VM_STATE when there is no such process, ERR_CONTROL when it does not
   *   answer, and whatever it answers
   */
  static async open(
    directory: VmDirectory,
    request: Readonly<Record<string, unknown>>,
    timeoutMs = ANSWER_MS,
  ): Promise<ControlConnection> {
    const socket = await connect(directory);
    try {
      socket.write(encodeJson(request));
      const reader = new FrameReader();
      const frames = await new Promise<Frame[]>((resolve, reject) => {
        const fail = (what: string, hint?: string): void =>
          reject(new VexitError('ERR_CONTROL', `VM ${directory.name}: ${what}`, hint));
        const timer =
          timeoutMs === Infinity
            ? undefined
            : setTimeout(
                () => fail('its process does not answer', 'end it with: vexit kill'),
                timeoutMs,
              );
        const settle = (): void => {
          clearTimeout(timer);
          socket.removeAllListeners('data');
        };
        socket.on('data', (bytes) => {
          let got: Frame[];
          try {
            got = reader.push(bytes);
          } catch (error) {
            settle();
            reject(error instanceof Error ? error : new Error(String(error)));
            return;
          }
          if (got.length === 0) return;
          settle();
          // Nothing may be lost between the answer and the one who reads the stream.
          socket.pause();
          resolve(got);
        });
        socket.on('error', () => undefined);
        socket.on('close', () => {
          settle();
          fail('its process ended before it answered');
        });
      });
      const [first, ...rest] = frames;
      const { value, error } = decodeJson(first!) as { value?: unknown; error?: WireError };
      if (error !== undefined) {
        throw new VexitError(
          error.code ?? 'ERR_CONTROL',
          error.message ?? 'an error without words',
          error.hint,
        );
      }
      const connection = new ControlConnection(socket, value);
      connection.early = rest;
      socket.on('data', (bytes) => {
        try {
          for (const frame of reader.push(bytes)) connection.onFrame?.(frame);
        } catch {
          socket.destroy();
        }
      });
      return connection;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Reads the stream behind the answer. */
  receive(onFrame: (frame: Frame) => void): void {
    this.onFrame = onFrame;
    for (const frame of this.early.splice(0)) onFrame(frame);
    this.socket.resume();
  }
}

/** Asks a VM's process one question; see {@link ControlConnection.open} for the errors. */
export async function ask(
  directory: VmDirectory,
  request: Readonly<Record<string, unknown>>,
  timeoutMs?: number,
): Promise<unknown> {
  const { socket, value } = await ControlConnection.open(directory, request, timeoutMs);
  socket.destroy();
  return value;
}
