/** Virtio devices behind the MMIO transport, driven by a bare-metal guest through I/O workers. */
import path from 'node:path';
import { buildSync } from 'esbuild';
import { VirtualMachine } from 'vexit';
import { describeKvm } from '../support/kvm';
import { Guest, checkLeaks } from '../support/run-guest';

const OUT = path.resolve(__dirname, '../guests/out');

/** The example of docs/devices/virtio.md, compiled as a library user would. */
function exampleDevice(): string {
  const outfile = path.join(OUT, 'example-device.cjs');
  buildSync({
    entryPoints: [path.resolve(__dirname, '../unit/virtio/example-device.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['vexit'],
  });
  return outfile;
}

describeKvm('virtio devices over MMIO', () => {
  let example = '';
  // The compiler keeps a thread of its own: it starts before the leak check takes its baseline.
  beforeAll(() => {
    example = exampleDevice();
  });
  checkLeaks();

  test.each([1, 3])('work for a guest, with %i I/O threads', async (ioThreads) => {
    const devices = [{ module: example, export: 'TextDevice' }];
    await using guest = await Guest.start('virtio', {
      rng: true,
      balloon: true,
      devices,
      ioThreads,
    });
    await guest.shows('done');
    guest.send('.');
    const { report, values } = await guest.ended();
    expect(report.reason).toBe('power-off');
    expect(values('device')).toEqual(['4', '5', '3f']);
    expect(values('accepted')).toEqual(['1', '1']);
    expect(values('length')).toEqual(['1000', '1000']);
    expect(values('random')).toEqual(['1', '1']);
    expect(values('interrupts').every((count) => parseInt(count, 16) >= 1)).toBe(true);
    expect(values('broken')).toEqual(['40']);
    expect(values('answer')).toEqual(['HELLO, WORLD']);
    expect(values('answered')).toEqual(['3']);
  });

  test('A1, A2, A4, A6: registers are misused without effect, and a reset mends a device', async () => {
    await using guest = await Guest.start('virtio', { rng: true });
    await guest.shows('done');
    guest.send('.');
    const { values } = await guest.ended();
    expect(values('narrow')).toEqual(['0']);
    expect(values('no_queue')).toEqual(['0']);
    expect(values('status')).toEqual(['0']);
    expect(values('random')).toEqual(['1', '1']);
  });

  test('a guest pauses and goes on, and its devices with it', async () => {
    await using guest = await Guest.create('virtio', { rng: true, balloon: true });
    await guest.vm.start();
    await guest.vm.pause();
    await guest.vm.resume();
    await guest.shows('done');
    await guest.vm.pause();
    await guest.vm.resume();
    guest.send('.');
    expect((await guest.ended()).report.reason).toBe('power-off');
  });

  test('a module that is not there, or exports no such class, is refused', async () => {
    const create = (module: string, name?: string) =>
      VirtualMachine.create({
        firmware: __filename,
        devices: [{ module, ...(name === undefined ? {} : { export: name }) }],
      });
    await expect(create('/nonexistent/device.js')).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    await expect(create(example, 'Nothing')).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });
});
