/** The host's side of test/guests/streams-linux.c: many streams, every byte of which is compared. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { VsockHost } from 'vexit';

const LISTENER = 7000;
const OWN_PORT = 7001;
const PIECE = 65_536;

/** Bytes of a stream from a place on; they follow from its number and their place. */
function piece(number: number, at: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let value = (Math.imul(number, 2_654_435_761) + Math.imul(at, 40_503)) | 0;
  for (let i = 0; i < length; i++) {
    bytes[i] = value >>> 16;
    value = (value + 40_503) | 0;
  }
  return bytes;
}

async function sendAll(socket: Socket, number: number, bytes: number): Promise<void> {
  for (let at = 0; at < bytes; at += PIECE) {
    const room = socket.write(piece(number, at, Math.min(PIECE, bytes - at)));
    if (!room) await once(socket, 'drain');
  }
  socket.end();
}

/** Reads to the end; false when a byte is wrong, or one is missing or too many. */
async function receiveAll(
  socket: Socket,
  number: number,
  bytes: number,
  first: Buffer,
): Promise<boolean> {
  let at = 0;
  const check = (chunk: Buffer): boolean => {
    const right = chunk.equals(piece(number, at, chunk.length));
    at += chunk.length;
    return right;
  };
  if (!check(first)) return false;
  // Without the option the socket is destroyed when the other side ends, though we may still be sending.
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    if (!check(chunk as Buffer)) throw new Error(`stream ${number} is wrong before byte ${at}`);
  }
  return at === bytes;
}

async function serve(socket: Socket, bytes: number): Promise<boolean> {
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    await once(socket, 'readable');
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) head = Buffer.concat([head, chunk]);
  }
  const number = head.readUInt32LE(0);
  const sent = sendAll(socket, number, bytes);
  const right = await receiveAll(socket, number, bytes, head.subarray(4));
  await sent;
  return right;
}

/**
 * Takes and makes as many connections as `count`; gives the number of those that were right.
 * @param start starts the program in the guest, and resolves when it listens
 */
export async function runStreams(
  vsock: VsockHost,
  count: number,
  bytes: number,
  start: () => Promise<void>,
): Promise<number> {
  const server = await vsock.listen(OWN_PORT, { allowHalfOpen: true });
  const taken = new Promise<boolean[]>((resolve, reject) => {
    const results: Promise<boolean>[] = [];
    server.on('connection', (socket: Socket) => {
      results.push(serve(socket, bytes));
      if (results.length === count) Promise.all(results).then(resolve, reject);
    });
  });
  await start();
  const made = Array.from({ length: count }, async (_, number) => {
    const socket = await vsock.connect(LISTENER, { allowHalfOpen: true });
    const head = Buffer.alloc(4);
    head.writeUInt32LE(number);
    socket.write(head);
    const sent = sendAll(socket, number, bytes);
    const right = await receiveAll(socket, number, bytes, Buffer.alloc(0));
    await sent;
    return right;
  });
  const all = [...(await Promise.all(made)), ...(await taken)];
  server.close();
  return all.filter((right) => right).length;
}
