/** `--disk` as people write it. */
import { checkDisks, parseDiskOption } from '../../../src/block/disk-option.js';
import { closeDisk, openDisk } from '../../../src/block/open-disk.js';
import { diskDeviceOptions } from '../../../src/devices/virtio/block/disk-device.js';
import { VexitError } from '../../../src/util/errors.js';
import { thrownBy } from '../../support/thrown.js';
import { scratch } from './backend-bench.js';

const files = scratch();

test('a path is a disk', () => {
  expect(parseDiskOption('root.ext4')).toEqual({ path: 'root.ext4' });
  expect(parseDiskOption('d,,ro')).toEqual({ path: 'd,ro' });
  expect(parseDiskOption('d,root')).toEqual({ path: 'd', root: true });
  expect(parseDiskOption('d,data')).toEqual({ path: 'd', root: false });
  expect(parseDiskOption('d,root=off')).toEqual({ path: 'd', root: false });
  expect(parseDiskOption('/a path/with,,comma=x.img,ro')).toEqual({
    path: '/a path/with,comma=x.img',
    readOnly: true,
  });
});

test('every setting', () => {
  const text =
    'd.img,ro=off,serial=root 1,cache=direct,engine=threads,overlay=o.ovl,bps=100M,bps-burst=1M,' +
    'iops=2k,iops-burst=10,queues=4,block-size=4096,discard=off,format=raw';
  expect(parseDiskOption(text)).toEqual({
    path: 'd.img',
    readOnly: false,
    serial: 'root 1',
    cache: 'direct',
    engine: 'threads',
    overlay: 'o.ovl',
    bytesPerSecond: 100 * 2 ** 20,
    bytesBurst: 2 ** 20,
    operationsPerSecond: 2048,
    operationsBurst: 10,
    queues: 4,
    blockSize: 4096,
    discard: false,
  });
});

test.each([
  ['', /there is no path/],
  [',ro', /there is no path/],
  ['d,root,data', /root is given twice/],
  ['d,data=on', /data is not a setting/],
  ['d,', /an empty setting/],
  ['d,rw', /rw is not a setting/],
  ['d,toString=1', /toString is not a setting/],
  ['d,__proto__=1', /__proto__ is not a setting/],
  ['d,cache', /cache needs a value/],
  ['d,cache=', /cache is empty/],
  ['d,cache=fast', /cache=fast is not known/],
  ['d,ro=maybe', /ro=maybe is not known/],
  ['d,ro,ro', /ro is given twice/],
  ['d,engine=aio', /engine=aio is not known/],
  ['d,format=qcow2', /format=qcow2 is not known/],
  ['d,bps=0', /bps=0 would never let/],
  ['d,iops=0', /iops=0 would never let/],
  ['d,bps=fast', /bps=fast is not a number of bytes/],
  ['d,bps=-1', /bps=-1 is not a number/],
  ['d,bps-burst=1M', /a burst of bytes without a rate/],
  ['d,queues=0', /queues=0 is not possible/],
  ['d,queues=65', /queues=65 is not possible/],
  ['d,block-size=1000', /block size of 1000/],
  ['d,block-size=256', /block-size=256 is not possible/],
  ['d,serial=123456789012345678901', /serial .* is not possible/],
  ['d,serial=ü', /serial .* is not possible/],
  ['d\0', /has a NUL/],
])('%j', (text, message) => {
  const error = thrownBy(() => parseDiskOption(text));
  if (!(error instanceof VexitError)) throw new Error(String(error));
  expect(error.code).toBe('ERR_CONFIG');
  expect(error.message).toMatch(message);
  expect(error.message).not.toContain('\n');
  expect(error.hint).toBeTruthy();
});

test('disks of one VM have serials of their own', () => {
  const disks = ['a,serial=1', 'b', 'c', 'd,serial=1'].map(parseDiskOption);
  expect(() => checkDisks(disks.slice(0, 3))).not.toThrow();
  expect(thrownBy(() => checkDisks(disks))).toMatchObject({
    message: 'disks a and d have the same serial 1',
  });
  expect(thrownBy(() => checkDisks([{ path: 'a', bytesPerSecond: NaN }]))).toMatchObject({
    code: 'ERR_CONFIG',
  });
});

test('the device is what was asked for, as plain data', () => {
  const path = files.file('disk', 2 ** 20);
  const options = parseDiskOption(
    `${path},ro,serial=s,bps=1M,iops=100,iops-burst=50,block-size=4096`,
  );
  const disk = openDisk(options);
  const device = diskDeviceOptions(options, disk);
  closeDisk(disk);
  expect(structuredClone(device)).toEqual(device);
  expect(structuredClone(disk)).toEqual(disk);
  expect(device).toMatchObject({
    capacity: 2 ** 20,
    readOnly: true,
    serial: 's',
    blockSize: 4096,
    byteLimit: { perSecond: 2 ** 20, burst: 2 ** 20 / 10 },
    operationLimit: { perSecond: 100, burst: 50 },
  });
});
