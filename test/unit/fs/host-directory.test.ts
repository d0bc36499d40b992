/** A directory of the host through the server, errno by errno. */
import { constants } from 'node:fs';
import * as fs from 'node:fs';
import { RenameFlag } from '../../../src/fs/index.js';
import { ROOT, outcome, type FuseClient } from './fuse-client.js';
import { Share } from './share.js';

const { O_RDONLY, O_RDWR, O_WRONLY, O_TRUNC, O_CREAT, O_EXCL, O_APPEND } = constants;

let share: Share;
let client: FuseClient;
beforeEach(() => {
  share = new Share();
  ({ client } = share);
});
afterEach(() => share.close());

test('smoke', () => {
  const file = client.create(ROOT, 'file', O_RDWR | O_CREAT);
  expect(client.write(file.handle, 0, Buffer.from('hello'))).toBe(5);
  expect(client.read(file.handle, 0, 100).toString()).toBe('hello');
  expect(fs.readFileSync(share.at('file'), 'utf8')).toBe('hello');
  client.release(file.handle);
  expect(client.list(ROOT).map(({ name }) => name)).toEqual(['file']);
  expect(client.list(ROOT, 4096, true).map(({ name }) => name)).toEqual(['file']);
  expect(outcome(() => client.lookup(ROOT, 'none'))).toBe('ENOENT');
});
