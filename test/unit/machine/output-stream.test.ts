import { setImmediate as turn } from 'node:timers/promises';
import { OutputStream, type OutputSource } from '../../../src/machine/output-stream';

/** A device whose ring always holds `pending`; counts how often it is asked. */
class Device implements OutputSource {
  pending: Uint8Array[] = [];
  taken = 0;
  take(): Uint8Array {
    this.taken++;
    return this.pending.shift() ?? new Uint8Array();
  }
}

const LIMIT = 256 * 1024;

test('output before the first reader is kept, in order', async () => {
  const stream = new OutputStream(() => undefined);
  for (const text of ['one ', 'two ', 'three']) stream.deliver(Buffer.from(text));
  expect(stream.accepting).toBe(true);
  let text = '';
  stream.on('data', (bytes: Buffer) => (text += bytes.toString()));
  await turn();
  expect(text).toBe('one two three');
  stream.deliver(Buffer.from(' four'));
  await turn();
  expect(text).toBe('one two three four');
  expect(stream.dropped).toBe(0);
});

test.each([1, 7, 4096, 100_000])('in pieces of %d: the last 256 KiB are kept', async (size) => {
  const stream = new OutputStream(() => undefined);
  const total = 3 * LIMIT;
  const all = Buffer.from(Uint8Array.from({ length: total + size }, (_, i) => (i * 7919) >> 4));
  let written = 0;
  for (; written < total; written += size) stream.deliver(all.subarray(written, written + size));
  const chunks: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => chunks.push(bytes));
  stream.end();
  await new Promise((resolve) => stream.on('end', resolve));
  const kept = Buffer.concat(chunks);
  expect(kept.length).toBeLessThanOrEqual(LIMIT);
  expect(kept.length).toBeGreaterThan(LIMIT - Math.max(2 * size, 32 * 1024));
  expect(kept.equals(all.subarray(written - kept.length, written))).toBe(true);
  expect(stream.dropped).toBe(written - kept.length);
});

test('one piece above the limit is kept whole', async () => {
  const stream = new OutputStream(() => undefined);
  stream.deliver(new Uint8Array(LIMIT + 1).fill(7));
  let size = 0;
  stream.on('data', (bytes: Buffer) => (size += bytes.length));
  await turn();
  expect(size).toBe(LIMIT + 1);
});

test('with a slow reader the device is left full, and asked again when the reader goes on', async () => {
  const device = new Device();
  let wishes = 0;
  const stream: OutputStream = new OutputStream(() => {
    wishes++;
    stream.drainFrom(device);
  });
  // Attached, but not flowing.
  stream.read(0);
  await turn();
  device.pending = Array.from({ length: 100 }, (_, i) => new Uint8Array(4096).fill(i));
  stream.drainFrom(device);
  expect(stream.accepting).toBe(false);
  expect(device.pending.length).toBeGreaterThan(80);
  expect(stream.readableLength).toBeLessThanOrEqual(64 * 1024 + 4096);
  const asked = device.taken;
  stream.drainFrom(device);
  expect(device.taken).toBe(asked);
  const before = wishes;
  const chunks: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => chunks.push(bytes));
  while (device.pending.length > 0) await turn();
  await turn();
  expect(wishes).toBeGreaterThan(before);
  const expected = Buffer.concat(Array.from({ length: 100 }, (_, i) => Buffer.alloc(4096, i)));
  expect(Buffer.concat(chunks).equals(expected)).toBe(true);
});

test('flush takes everything, however far behind the reader is, and then the stream ends', async () => {
  const device = new Device();
  const stream = new OutputStream(() => undefined);
  stream.read(0);
  await turn();
  device.pending = Array.from({ length: 50 }, () => new Uint8Array(4096));
  stream.drainFrom(device);
  stream.flushFrom(device);
  expect(device.pending).toHaveLength(0);
  stream.end();
  let size = 0;
  for await (const bytes of stream) size += (bytes as Buffer).length;
  expect(size).toBe(50 * 4096);
});

test('a device that says little at a time is asked again after a while, and loses nothing', async () => {
  const device = new Device();
  const stream: OutputStream = new OutputStream(() => stream.drainFrom(device));
  let text = '';
  stream.on('data', (bytes: Buffer) => (text += bytes.toString()));
  await turn();
  const write = (piece: string): void => {
    device.pending.push(Buffer.from(piece));
    stream.drainFrom(device);
  };
  write('a');
  await turn();
  // The first piece comes at once.
  expect(text).toBe('a');
  const asked = device.taken;
  for (const piece of ['b', 'c', 'd']) write(piece);
  await turn();
  expect({ text, taken: device.taken }).toEqual({ text: 'a', taken: asked });
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(text).toBe('abcd');
  write('e');
  write('f');
  stream.hasten();
  await turn();
  expect(text).toBe('abcdef');
  write('g');
  stream.flushFrom(device);
  stream.end();
  await turn();
  expect(text).toBe('abcdefg');
});
