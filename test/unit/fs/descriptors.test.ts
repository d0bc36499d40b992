/** Fewer descriptors than nodes: those that are closed are found again, if they are the same. */
import * as fs from 'node:fs';
import { ROOT, outcome } from './fuse-client.js';
import { Share } from './share.js';

const { O_RDWR, O_RDONLY } = fs.constants;
const LIMIT = 8;

let share: Share;
beforeEach(() => (share = new Share({ maxNodeDescriptors: LIMIT, maxFileDescriptors: 12 })));
afterEach(() => share.close());

/** Makes the server close what it has not used for longest. */
function crowd(from = 0): void {
  for (let i = from; i < from + 2 * LIMIT; i++) {
    fs.writeFileSync(share.at(`crowd${i}`), '');
    share.client.lookup(ROOT, `crowd${i}`);
  }
  expect(share.directory.descriptors.nodes).toBeLessThanOrEqual(LIMIT);
}

test('nodes are there though their descriptors are not', () => {
  const { client } = share;
  const { nodeId: dir } = client.mkdir(ROOT, 'dir');
  const { nodeId: inner } = client.mkdir(dir, 'inner');
  const { nodeId: file } = client.create(inner, 'file', O_RDWR);
  for (let i = 0; i < 4; i++) {
    crowd(100 * i);
    expect(client.getattr(file).nlink).toBe(1);
    expect(client.lookup(inner, 'file').nodeId).toBe(file);
  }
});

test('renamed directories are found at their new place', () => {
  const { client } = share;
  const { nodeId: dir } = client.mkdir(ROOT, 'dir');
  const { nodeId: target } = client.mkdir(ROOT, 'target');
  const { nodeId: file } = client.create(dir, 'file', O_RDWR);
  client.rename(ROOT, 'dir', target, 'moved');
  crowd();
  client.rename(dir, 'file', ROOT, 'up');
  crowd();
  expect(client.getattr(file).nlink).toBe(1);
  expect(outcome(() => client.lookup(dir, 'file'))).toBe('ENOENT');
});

test('unlinked files keep their descriptors until they are forgotten', () => {
  const { client } = share;
  const { nodeId: file } = client.create(ROOT, 'file', O_RDWR);
  client.unlink(ROOT, 'file');
  const { nodeId: replaced } = client.create(ROOT, 'a', O_RDWR);
  client.create(ROOT, 'b', O_RDWR);
  client.rename(ROOT, 'b', ROOT, 'a');
  crowd();
  expect(client.getattr(file).nlink).toBe(0);
  expect(client.getattr(replaced).nlink).toBe(0);
  client.forget(file);
  client.forget(replaced);
  expect(share.directory.descriptors.nodes).toBeLessThanOrEqual(LIMIT);
});

test('what the host has put in the place of a file is not that file', () => {
  const { client } = share;
  fs.writeFileSync(share.at('file'), 'old');
  fs.mkdirSync(share.at('dir'));
  const file = client.lookup(ROOT, 'file').nodeId;
  const dir = client.lookup(ROOT, 'dir').nodeId;
  crowd();
  fs.renameSync(share.at('file'), share.at('elsewhere'));
  fs.writeFileSync(share.at('file'), 'new');
  fs.renameSync(share.at('dir'), `${share.outside}/dir`);
  fs.symlinkSync('/etc', share.at('dir'));
  expect(outcome(() => client.open(file, O_RDONLY))).toBe('ESTALE');
  expect(outcome(() => client.lookup(dir, 'passwd'))).toBe('ESTALE');
  expect(client.lookup(ROOT, 'elsewhere').nodeId).toBe(file);
  expect(client.read(client.open(file, O_RDONLY), 0, 9).toString()).toBe('old');
});

test('a chain of names that the host has tied into a ring ends', () => {
  const { client } = share;
  fs.mkdirSync(share.at('a/b'), { recursive: true });
  const a = client.lookup(ROOT, 'a').nodeId;
  const b = client.lookup(a, 'b').nodeId;
  fs.renameSync(share.at('a/b'), share.at('b'));
  fs.renameSync(share.at('a'), share.at('b/a'));
  // Now a is below b; the server still has b below a.
  client.lookup(b, 'a');
  crowd();
  expect(['OK', 'ESTALE']).toContain(outcome(() => client.getattr(a)));
  expect(client.lookup(ROOT, 'b').nodeId).toBe(b);
  expect(client.getattr(a).nlink).toBeGreaterThan(0);
});

test('F14: open files are bounded', () => {
  const { client } = share;
  fs.writeFileSync(share.at('file'), 'x');
  const file = client.lookup(ROOT, 'file').nodeId;
  const handles = Array.from({ length: 12 }, () => client.open(file, O_RDONLY));
  expect(outcome(() => client.open(file, O_RDONLY))).toBe('ENFILE');
  expect(outcome(() => client.opendir(ROOT))).toBe('ENFILE');
  expect(outcome(() => client.create(ROOT, 'new', O_RDWR))).toBe('ENFILE');
  expect(fs.existsSync(share.at('new'))).toBe(false);
  client.release(handles[0]!);
  client.open(file, O_RDONLY);
});

test('F14: nodes are bounded', () => {
  const small = new Share({ maxNodes: 10 });
  const { client } = small;
  for (let i = 0; i < 20; i++) fs.writeFileSync(small.at(`file${i}`), '');
  const results = Array.from({ length: 20 }, (_, i) =>
    outcome(() => client.lookup(ROOT, `file${i}`)),
  );
  expect(results.filter((result) => result === 'OK')).toHaveLength(9);
  expect(results.filter((result) => result === 'ENFILE')).toHaveLength(11);
  expect(small.directory.descriptors.nodes).toBe(9);
  expect(outcome(() => client.create(ROOT, 'new', O_RDWR))).toBe('ENFILE');
  expect(fs.existsSync(small.at('new'))).toBe(false);
  // Names are read nevertheless; those without room come without nodes.
  expect(client.list(ROOT, 4096, true)).toHaveLength(20);
  expect(small.server.held.nodes).toBe(10);
  small.close();
});

test('F14: names without links, in large numbers, fill the table and no more', () => {
  const { client } = share;
  const kept: number[] = [];
  for (let i = 0; i < LIMIT; i++) {
    const { nodeId, handle } = client.create(ROOT, `file${i}`, O_RDWR);
    client.release(handle);
    client.unlink(ROOT, `file${i}`);
    kept.push(nodeId);
  }
  expect(outcome(() => client.mkdir(ROOT, 'one more'))).toBe('ENFILE');
  expect(fs.existsSync(share.at('one more'))).toBe(false);
  for (const node of kept) client.forget(node);
  expect(client.mkdir(ROOT, 'one more').nlink).toBe(2);
});
