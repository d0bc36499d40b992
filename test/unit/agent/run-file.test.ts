import { encodeRunFile } from '../../../src/agent/run-file';
import { thrownBy } from '../../support/thrown';

const records = (bytes: Buffer): string[][] => {
  const parts = bytes.toString().split('\0');
  expect(parts.pop()).toBe('');
  return Array.from({ length: parts.length / 2 }, (_, i) => parts.slice(2 * i, 2 * i + 2));
};

test('every field is a record, arguments and variables in order', () => {
  const bytes = encodeRunFile({
    argv: ['sh', '-c', 'echo "$X"\n', ''],
    env: { X: 'a=b c', EMPTY: '' },
    cwd: '/tmp',
    user: '1:2',
    tty: true,
    rows: 24,
    cols: 80,
    hostname: 'vm',
  });
  expect(records(bytes)).toEqual([
    ['arg', 'sh'],
    ['arg', '-c'],
    ['arg', 'echo "$X"\n'],
    ['arg', ''],
    ['env', 'X=a=b c'],
    ['env', 'EMPTY='],
    ...[
      ['cwd', '/tmp'],
      ['user', '1:2'],
      ['rows', '24'],
      ['cols', '80'],
      ['hostname', 'vm'],
      ['tty', '1'],
    ],
  ]);
});

test('nothing given, nothing written', () => {
  expect(encodeRunFile({})).toHaveLength(0);
  expect(encodeRunFile({ tty: false })).toHaveLength(0);
});

test('not only ASCII', () => {
  expect(records(encodeRunFile({ argv: ['grüße', '日本'] }))).toEqual([
    ['arg', 'grüße'],
    ['arg', '日本'],
  ]);
});

test.each([
  { argv: ['a\0b'] },
  { env: { X: 'a\0b' } },
  { env: { 'X\0': 'a' } },
  { env: { '': 'a' } },
  { env: { 'A=B': 'a' } },
  { cwd: '/\0' },
  { user: '\0' },
  { hostname: 'a\0' },
])('refused: %j', (run) => {
  expect(thrownBy(() => encodeRunFile(run))).toMatchObject({ code: 'ERR_CONFIG' });
});
