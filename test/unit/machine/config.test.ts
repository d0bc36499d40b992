import { checkConfig } from '../../../src/machine/config';
import { reportRequest } from '../../../src/machine/exit-report';
import { MachineRequest } from '../../../src/bus/device';
import { thrownBy } from '../../support/thrown';

const kernel = 'vmlinux';

test('what is not given has a default', () => {
  expect(checkConfig({ kernel })).toMatchObject({
    name: 'vm',
    cpus: 1,
    memory: 256 * 2 ** 20,
    onReboot: 'restart',
    debugExit: false,
    kvmDevice: '/dev/kvm',
  });
  expect(checkConfig({}).memory).toBe(128 * 2 ** 20);
  expect(checkConfig({ kernel, memory: 16 * 2 ** 20, cpus: 32 })).toMatchObject({
    memory: 16 * 2 ** 20,
    cpus: 32,
  });
});

test.each([
  ...[0, -1, 33, 1.5, NaN, Infinity, '2'].map((cpus) => ({ kernel, cpus: cpus as number })),
  ...[0, -1, 2 ** 24 - 1, 1.5 * 2 ** 30 + 0.5, NaN, Infinity, 2 ** 46].map((memory) => ({
    kernel,
    memory,
  })),
  ...['', '3', '8M', '15M', '100000000G', 'abc', '-1'].map((memory) => ({ kernel, memory })),
  ...['', '../x', 'a b', '-x', 'x'.repeat(64), 'ü'].map((name) => ({ kernel, name })),
  { kernel, cpu: 'avx2' },
  { kernel, firmware: 'bios' },
])('refused with a hint: %j', (options) => {
  expect(thrownBy(() => checkConfig(options))).toMatchObject({
    code: 'ERR_CONFIG',
    hint: expect.stringMatching(/\S/) as string,
  });
});

test.each([
  [MachineRequest.PowerOff, 0, 'power-off', 0],
  [MachineRequest.Reset, 0, 'reset', 120],
  [MachineRequest.Panic, 0, 'panic', 121],
  [MachineRequest.TripleFault, 0, 'triple-fault', 122],
  [MachineRequest.Fatal, 0, 'internal-error', 125],
  [MachineRequest.DebugExit, 0, 'debug-exit', 1],
  [MachineRequest.DebugExit, 0x7f, 'debug-exit', 0xff],
  [MachineRequest.DebugExit, 0x80, 'debug-exit', 1],
  [MachineRequest.DebugExit, 0xff, 'debug-exit', 0xff],
])('request %d with %d is %s, status %d', (kind, data, reason, status) => {
  expect(reportRequest(kind, data)).toMatchObject({ reason, status });
});
