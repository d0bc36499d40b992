import { formatSize, parseSize } from '../../../src/util/size';

test.each([
  ['0', 0],
  ['1048576', 2 ** 20],
  ['512M', 512 * 2 ** 20],
  ['512m', 512 * 2 ** 20],
  ['5G', 5 * 2 ** 30],
  ['64KiB', 65536],
  ['64kb', 65536],
  ['1 GiB', 2 ** 30],
  [' 2T ', 2 ** 41],
  ['7B', 7],
  ['8191T', 8191 * 2 ** 40],
])('%j is %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  ...[
    '',
    ' ',
    'M',
    'abc',
    '1.5G',
    '-1',
    '+1',
    '1e3',
    '0x10',
    '1GG',
    '1 2',
    '1P',
    '1Mi',
    'Infinity',
  ],
  ...['8192T', '999999999999999T', '9'.repeat(16), '１', '1\n2', '1M\0'],
])('%j is not a size', (text) => {
  expect(parseSize(text)).toBeUndefined();
});

test.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1 KiB'],
  [2 ** 20 + 1024, '1025 KiB'],
  [128 * 2 ** 20, '128 MiB'],
  [5 * 2 ** 30, '5 GiB'],
  [2 ** 40, '1024 GiB'],
])('%d as text', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
  if (bytes >= 1024) expect(parseSize(text)).toBe(bytes);
});
