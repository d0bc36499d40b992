/** Locks in the file system, where other programs of the host see them; waiting blocks nobody. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { InitFlag, LockType, Opcode } from '../../../src/fs/fuse/protocol.js';
import { errorMessage } from '../../../src/util/errors.js';
import { ROOT, encode, outcome, type FuseClient } from './fuse-client.js';
import { Share } from './share.js';

const LAST = 2n ** 63n - 1n;
const FLOCK = 1;

let share: Share;
let client: FuseClient;
let handle: number;
beforeEach(() => {
  share = new Share({ locks: 'shared' });
  ({ client } = share);
  handle = client.create(ROOT, 'file', fs.constants.O_RDWR).handle;
});
afterEach(() => share.close());

interface Range {
  start?: bigint;
  end?: bigint;
  flags?: number;
  file?: number;
}

function body(owner: bigint, type: LockType, range: Range): Buffer {
  const { start = 0n, end = LAST, flags = 0, file = handle } = range;
  return encode(BigInt(file), owner, start, end, type, 42, flags, 0);
}

const set = (owner: bigint, type: LockType, range: Range = {}): string =>
  outcome(() => client.call(Opcode.SetLk, {}, body(owner, type, range)));
const wait = (owner: bigint, type: LockType, unique: bigint, range: Range = {}): Promise<string> =>
  client.later(Opcode.SetLkW, { unique }, body(owner, type, range), Number(unique % 16n)).then(
    () => 'OK',
    (error: unknown) => errorMessage(error),
  );

test('are offered when they are asked for', () => {
  const { PosixLocks, FlockLocks } = InitFlag;
  expect(client.init().readUInt32LE(12) & (PosixLocks | FlockLocks)).toBe(PosixLocks | FlockLocks);
  const other = new Share();
  expect(other.client.init().readUInt32LE(12) & (PosixLocks | FlockLocks)).toBe(0);
  const file = other.client.create(ROOT, 'file', fs.constants.O_RDWR).handle;
  const lock = body(1n, LockType.Read, { file });
  for (const opcode of [Opcode.GetLk, Opcode.SetLk, Opcode.SetLkW]) {
    expect(outcome(() => other.client.call(opcode, {}, lock))).toBe('ENOSYS');
  }
  other.close();
});

test('ranges of owners', () => {
  expect(set(1n, LockType.Write, { start: 0n, end: 9n })).toBe('OK');
  expect(set(2n, LockType.Write, { start: 10n, end: 19n })).toBe('OK');
  expect(set(2n, LockType.Read, { start: 5n, end: 5n })).toBe('EAGAIN');
  expect(set(1n, LockType.Read, { start: 5n, end: 5n })).toBe('OK');
  expect(set(2n, LockType.Read, { start: 5n, end: 5n })).toBe('OK');
  expect(set(1n, LockType.Unlock)).toBe('OK');
  expect(set(2n, LockType.Write, { start: 0n, end: LAST })).toBe('OK');
});

test('GETLK', () => {
  const get = (owner: bigint, type: LockType): unknown[] => {
    const answer = client.call(Opcode.GetLk, {}, body(owner, type, {}));
    return [answer.readBigUInt64LE(0), answer.readBigUInt64LE(8), answer.readUInt32LE(16)];
  };
  expect(get(1n, LockType.Write)).toEqual([0n, LAST, LockType.Unlock]);
  set(1n, LockType.Write, { start: 5n, end: 7n });
  expect(get(1n, LockType.Write)).toEqual([0n, LAST, LockType.Unlock]);
  expect(get(2n, LockType.Read)).toEqual([5n, 7n, LockType.Write]);
});

test('closing a file gives the locks of its process back, and forgetting it all', () => {
  const second = client.open(client.lookup(ROOT, 'file').nodeId, fs.constants.O_RDONLY);
  set(1n, LockType.Write);
  client.flush(second, 2n);
  expect(set(2n, LockType.Write)).toBe('EAGAIN');
  client.flush(second, 1n);
  expect(set(2n, LockType.Write)).toBe('OK');
  expect(share.directory.descriptors.files).toBe(3);
});

test('flock belongs to the open file', () => {
  const file = client.open(client.lookup(ROOT, 'file').nodeId, fs.constants.O_RDONLY);
  const range = { flags: FLOCK };
  expect(set(1n, LockType.Write, range)).toBe('OK');
  expect(set(1n, LockType.Write, { ...range, file })).toBe('EAGAIN');
  expect(set(1n, LockType.Read, range)).toBe('OK');
  expect(set(2n, LockType.Read, { ...range, file })).toBe('OK');
  client.release(handle);
  expect(set(2n, LockType.Write, { ...range, file })).toBe('OK');
});

test('other programs see them', () => {
  const locked = (): number | null =>
    spawnSync('flock', ['-n', share.at('file'), 'true'], { encoding: 'utf8' }).status;
  expect(locked()).toBe(0);
  set(1n, LockType.Write, { flags: FLOCK });
  expect(locked()).toBe(1);
  set(1n, LockType.Unlock, { flags: FLOCK });
  expect(locked()).toBe(0);
});

test('waiting ends when the lock is given back, and nothing else waits meanwhile', async () => {
  set(1n, LockType.Write);
  const waiting = [wait(2n, LockType.Read, 2n), wait(3n, LockType.Read, 3n)];
  const third = wait(4n, LockType.Write, 4n);
  expect(share.server.waiting).toBe(3);
  expect(client.getattr(ROOT).nlink).toBeGreaterThan(0);
  set(1n, LockType.Unlock);
  expect(await Promise.all(waiting)).toEqual(['OK', 'OK']);
  expect(share.server.waiting).toBe(1);
  set(2n, LockType.Unlock);
  client.flush(handle, 3n);
  expect(await third).toBe('OK');
});

test('waiting ends when a program of the host gives the lock back', async () => {
  const other = fs.openSync(share.at('file'), 'r+');
  const addon = (await import('../../../src/kvm/native.js')).native();
  expect(addon.fsFlock(other, 2)).toBe(0);
  const waiting = wait(1n, LockType.Write, 1n, { flags: FLOCK });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(share.server.waiting).toBe(1);
  fs.closeSync(other);
  expect(await waiting).toBe('OK');
});

test('F-2: INTERRUPT ends waiting', async () => {
  set(1n, LockType.Write);
  const waiting = wait(2n, LockType.Write, 0x1_0000_0007n);
  client.call(Opcode.Interrupt, {}, 0x2_0000_0007n);
  expect(share.server.waiting).toBe(1);
  client.call(Opcode.Interrupt, {}, 0x1_0000_0007n);
  expect(await waiting).toBe('EINTR');
  expect(share.server.waiting).toBe(0);
});

test('a reset ends waiting without an answer, and all locks', async () => {
  set(1n, LockType.Write);
  const waiting = wait(2n, LockType.Write, 2n);
  share.server.reset();
  expect(await waiting).toBe('OK');
  expect(share.directory.descriptors).toEqual({ nodes: 0, files: 0 });
});

test.each([
  [5n, 4n, LockType.Read],
  [0n, 2n ** 63n, LockType.Write],
  [2n ** 64n - 1n, 2n ** 64n - 1n, LockType.Write],
  [0n, LAST, 3],
])('F14: a lock from %d to %d of type %d is none', (start, end, type) => {
  expect(set(1n, type, { start, end })).toBe('EINVAL');
});

test('F14: owners are bounded', () => {
  const small = new Share({ locks: 'shared', maxFileDescriptors: 10 });
  const file = small.client.create(ROOT, 'file', fs.constants.O_RDWR).handle;
  const results = Array.from({ length: 20 }, (_, i) =>
    outcome(() => small.client.call(Opcode.SetLk, {}, body(BigInt(i), LockType.Read, { file }))),
  );
  expect(results.filter((result) => result === 'OK')).toHaveLength(9);
  expect(results.filter((result) => result === 'ENFILE')).toHaveLength(11);
  small.close();
});
