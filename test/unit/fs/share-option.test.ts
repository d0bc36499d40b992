/** `HOSTDIR:GUESTPATH[:ro]`. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseShareOption, shareTag } from '../../../src/fs/index.js';
import { VexitError } from '../../../src/util/errors.js';
import { thrownBy } from '../../support/thrown.js';

const directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-share-'));
mkdirSync(path.join(directory, 'a:b'));
writeFileSync(path.join(directory, 'file'), '');
afterAll(() => rmSync(directory, { recursive: true }));

test.each([
  [`${directory}:/mnt`, directory, '/mnt', false],
  [`${directory}:/mnt:ro`, directory, '/mnt', true],
  [`${directory}:/mnt:rw`, directory, '/mnt', false],
  [`${directory}/.:/a//b/./c/`, directory, '/a/b/c', false],
  [`${directory}/a:b:/mnt`, `${directory}/a:b`, '/mnt', false],
  [`${directory}/a:b:/mnt:ro`, `${directory}/a:b`, '/mnt', true],
  [`${directory}/a:b:/ro`, `${directory}/a:b`, '/ro', false],
  [`.:/mnt`, process.cwd(), '/mnt', false],
])('%s', (text, hostPath, guestPath, readOnly) => {
  expect(parseShareOption(text)).toEqual({ hostPath, guestPath, readOnly });
});

test.each([
  ['', /one of the two paths is missing/],
  [directory, /one of the two paths is missing/],
  [`${directory}:`, /one of the two paths is missing/],
  [':/mnt', /one of the two paths is missing/],
  [`${directory}:ro`, /does not begin with \//],
  [`${directory}:mnt`, /does not begin with \//],
  [`${directory}:/a/../b`, /has \.\. in it/],
  [`${directory}:/`, /cannot cover the guest's root/],
  [`${directory}:/./`, /cannot cover the guest's root/],
  [`${directory}/none:/mnt`, /there is no directory/],
  [`${directory}/file:/mnt`, /is not a directory/],
  [`${directory}/file/x:/mnt`, /ENOTDIR/],
  [`${directory}:/a\nb`, /no such characters/],
  [`${directory}\0:/a`, /no such characters/],
])('%j is refused in one line with a hint', (text, message) => {
  const error = thrownBy(() => parseShareOption(text));
  expect(error).toBeInstanceOf(VexitError);
  const { message: line, hint, code } = error as VexitError;
  expect(code).toBe('ERR_CONFIG');
  expect(line).toMatch(message);
  expect(line).not.toMatch(/[\n\0]/);
  expect(hint).toBeDefined();
});

test('tags are short, whatever the paths are', () => {
  expect(shareTag(12)).toBe('share12');
});
