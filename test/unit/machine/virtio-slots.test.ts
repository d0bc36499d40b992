import { checkConfig } from '../../../src/machine/config.js';
import { openDevices } from '../../../src/machine/open-devices.js';
import { dealQueues } from '../../../src/machine/virtio/io-threads.js';
import { VIRTIO_SLOTS, virtioRanges } from '../../../src/machine/virtio/slots.js';
import { thrownBy } from '../../support/thrown';

describe('slots of virtio devices', () => {
  test('have windows that do not overlap and interrupts that nothing shares', () => {
    const ranges = virtioRanges(VIRTIO_SLOTS);
    const taken = [0, 1, 2, 3, 4, 8, 9, 12, 13];
    expect(new Set(ranges.map(({ gsi }) => gsi)).size).toBe(VIRTIO_SLOTS);
    expect(ranges.filter(({ gsi }) => taken.includes(gsi) || gsi > 23)).toEqual([]);
    ranges.slice(1).forEach(({ address }, i) => {
      expect(address).toBe(ranges[i]!.address + ranges[i]!.size);
    });
  });

  test('are limited, and the error says how many there can be', async () => {
    const devices = Array.from({ length: VIRTIO_SLOTS }, () => ({ module: '/device.js' }));
    const opened = await openDevices({ devices }, 2 ** 28);
    expect(opened.specs).toHaveLength(VIRTIO_SLOTS);
    opened.close();
    await expect(openDevices({ devices, rng: true }, 2 ** 28)).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      hint: `give at most ${VIRTIO_SLOTS}`,
    });
  });
});

describe('I/O threads', () => {
  test('get every group of queues once, one after the other', () => {
    const slots = [{ groups: [[0, 1, 2]] }, { groups: [[0], [1], [2]] }];
    expect(dealQueues(slots, 2)).toEqual([
      [[0, 1, 2], [1]],
      [[], [0, 2]],
    ]);
    expect(dealQueues(slots, 1)).toEqual([
      [
        [0, 1, 2],
        [0, 1, 2],
      ],
    ]);
  });

  test.each([0, 17, 1.5, Number.NaN])('%p of them are refused', (ioThreads) => {
    expect(thrownBy(() => checkConfig({ ioThreads }))).toMatchObject({ code: 'ERR_CONFIG' });
  });
});
