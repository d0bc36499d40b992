/** The device that docs/devices/virtio.md shows: it is this one, and it works. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ascii, text } from '../devices/harness.js';
import { TextDevice } from './example-device.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

test('the documentation shows the file that is tested', () => {
  const page = readFileSync(path.join(__dirname, '../../../docs/devices/virtio.md'), 'utf8');
  const code = /```ts\n(.*?)```/s.exec(page)?.[1];
  expect(code).toBe(readFileSync(path.join(__dirname, 'example-device.ts'), 'utf8'));
});

test.each([
  [[], 'Hello, virtio'],
  [[0], 'HELLO, VIRTIO'],
])('with features %j it answers %s', (features, answer) => {
  const bench = new MmioBench(new TextDevice()).start([...RING_BITS, ...features]);
  bench.ram.write(0x8000, ascii('Hello, virtio'));
  // Framing is the driver's business: the request comes in two pieces, the answer in three.
  bench.rings[0]!.send(
    { address: 0x8000, length: 5 },
    { address: 0x8005, length: 8 },
    { address: 0x9000, length: 1, writable: true },
    { address: 0x9001, length: 3, writable: true },
    { address: 0x9004, length: 100, writable: true },
  );
  bench.notify(0);
  expect(bench.rings[0]!.take()).toEqual([{ id: 0, length: 13 }]);
  expect(text(bench.ram.read(0x9000, 13))).toBe(answer);
  expect(bench.get(0x100)).toBe(1);
});
