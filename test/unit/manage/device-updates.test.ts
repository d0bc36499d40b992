/** Changes of disks and networks: how they are written, and what is kept of them. */
import {
  parseDiskLimit,
  parseDiskSize,
  parseNetLimit,
} from '../../../src/cli/manage/device-changes';
import { updateDevices, withDeviceUpdates } from '../../../src/manage/device-updates';

test('limits and sizes as people write them', () => {
  expect(parseDiskLimit('1:bps=10M,iops=100,iops-burst=7')).toEqual({
    index: 1,
    limits: { bytesPerSecond: 10 * 2 ** 20, operationsPerSecond: 100, operationsBurst: 7 },
  });
  expect(parseDiskLimit('0:none')).toEqual({ index: 0, limits: {} });
  expect(parseDiskSize('0:2G')).toEqual({ index: 0, size: 2 ** 31 });
  expect(parseNetLimit('0:tx=1M,rx-frames=50')).toEqual({
    index: 0,
    limits: {
      tx: { bytes: { perSecond: 2 ** 20, burst: 104_858 } },
      rx: { frames: { perSecond: 50, burst: 5 } },
    },
  });
  expect(parseNetLimit('3:none')).toEqual({ index: 3, limits: {} });
});

test.each([
  [parseDiskLimit, 'bps=1M'],
  [parseDiskLimit, '0:ro'],
  [parseDiskLimit, '0:bps=0'],
  [parseDiskLimit, '0:bps=1M,serial=x'],
  [parseDiskLimit, '0:iops-burst=5'],
  [parseDiskSize, '0:big'],
  [parseDiskSize, '-1:1G'],
  [parseNetLimit, '0:tx=0'],
  [parseNetLimit, '0:both=1M'],
  [parseNetLimit, '0:'],
])('%p refuses %s in one line', (parse, text) => {
  expect(() => parse(text)).toThrow(/^[^\n]+$/);
});

test('what is kept: new limits instead of the old ones', () => {
  const options = {
    disks: [{ path: 'a.img', bytesPerSecond: 5, bytesBurst: 3, serial: 's' }, { path: 'b.img' }],
    net: { kind: 'user' as const, tx: { bytes: { perSecond: 1, burst: 1 } } },
  };
  const rx = { frames: { perSecond: 1, burst: 1 } };
  expect(
    withDeviceUpdates(options, {
      disks: [{ index: 0, limits: { operationsPerSecond: 9 } }],
      networks: [{ index: 0, limits: { rx } }],
    }),
  ).toEqual({
    disks: [{ path: 'a.img', serial: 's', operationsPerSecond: 9 }, { path: 'b.img' }],
    net: [{ kind: 'user', rx }],
  });
  expect(withDeviceUpdates(options, {})).toEqual(options);
});

test('devices that are not there change nothing', async () => {
  const change = { networks: [{ index: 1, limits: {} }] };
  expect(() => withDeviceUpdates({ net: true }, change)).toThrow('the VM has no network 1');
  const disks = [{ setRateLimit: jest.fn() }];
  const both = { disks: [{ index: 0, limits: {} }], ...change };
  await expect(updateDevices({ disks, networks: [] } as never, both)).rejects.toThrow(
    'no network 1',
  );
  expect(disks[0]!.setRateLimit).not.toHaveBeenCalled();
});
