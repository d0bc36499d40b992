/** The state directory: names, locks, what killed processes leave, and what cannot be used. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { ProcessLock } from '../../../src/io/process-lock';
import { EventLog } from '../../../src/manage/event-log';
import { newConfig } from '../../../src/manage/new-config';
import { NEW_RECORD, type VmRecord } from '../../../src/manage/records';
import { readJson, writeJson } from '../../../src/manage/state-file';
import { Store } from '../../../src/manage/store';
import { isLocked, lock as lockFile, tryLock } from '../../../src/manage/store-lock';
import type { VmDirectory } from '../../../src/manage/vm-directory';
import { joinLan } from '../../../src/net/lan/join';
import { VexitError } from '../../../src/util/errors';

let root: string;
beforeEach(() => {
  root = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-store-')), 'vexit');
});
afterEach(() => fs.rmSync(path.dirname(root), { recursive: true }));

const code = (error: unknown): string | undefined =>
  error instanceof VexitError ? error.code : undefined;

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

function create(name: string, record: VmRecord = NEW_RECORD, autoRemove = false) {
  const config = newConfig({ options: { memory: '16M' }, autoRemove });
  return Store.open(root).create(name, { config, record });
}

/** Everything below the root but locks and the events. */
function entries(): string[] {
  return fs.readdirSync(path.join(root, 'vms')).filter((name) => name !== '.lock');
}

describe('names', () => {
  test('a VM is found by its name until it is removed', async () => {
    const made = await create('web');
    const store = Store.open(root);
    expect(store.find('web').readConfig().options).toEqual({ memory: '16M', agent: true });
    expect(store.find('web').readRecord().status).toBe('created');
    await store.remove(made);
    expect(code(thrown(() => store.find('web')))).toBe('ERR_NOT_FOUND');
    expect(entries()).toEqual([]);
  });

  test.each(['', '.', '..', '../x', 'a/b', '-x', '.lock', 'a'.repeat(64), 'ä', 'a b', 'a\n'])(
    '%j is no name',
    async (name) => {
      await expect(create(name)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
      expect(code(thrown(() => Store.open(root).find(name)))).toBe('ERR_CONFIG');
    },
  );

  test('of ten at once with one name, one is created', async () => {
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => create('web')));
    const made = results.filter(({ status }) => status === 'fulfilled');
    expect(made).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(code(result.reason)).toBe('ERR_EXISTS');
    }
    expect(entries()).toEqual(['web']);
  });

  test('rename: found by the new name only; a taken name is refused', async () => {
    const store = Store.open(root);
    const a = await create('a');
    await create('b');
    await expect(store.rename(a, 'b')).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    await store.rename(a, 'c');
    expect(store.names()).toEqual(['b', 'c']);
  });
});

describe('processes that have been killed', () => {
  test('what was half created or half removed goes with the next command', async () => {
    await create('web');
    for (const name of ['.creating-0', '.removing-0']) {
      fs.mkdirSync(path.join(root, 'vms', name));
      fs.writeFileSync(path.join(root, 'vms', name, 'config.json'), '{');
    }
    expect(
      Store.open(root)
        .list()
        .map(({ name }) => name),
    ).toEqual(['web']);
    expect(entries()).toEqual(['web']);
  });

  test.each(['starting', 'running', 'paused', 'restarting'] as const)(
    'a VM that is %s without a process has ended',
    async (status) => {
      const made = await create('web', { version: 1, status, restarts: 0, pid: process.pid });
      fs.writeFileSync(made.socket, '');
      const { exit, ...record } = Store.open(root).find('web').readRecord();
      expect(record.status).toBe('exited');
      expect(exit).toMatchObject({ reason: 'process-killed', status: 137 });
      expect(fs.existsSync(made.socket)).toBe(false);
    },
  );

  describe('what they have left outside their directories goes', () => {
    const runtime = process.env.XDG_RUNTIME_DIR;
    let place: string;
    beforeEach(() => {
      place = path.dirname(root);
      process.env.XDG_RUNTIME_DIR = place;
    });
    afterEach(() => {
      if (runtime === undefined) delete process.env.XDG_RUNTIME_DIR;
      else process.env.XDG_RUNTIME_DIR = runtime;
    });

    /** A VM that was killed on a LAN, with a vsock socket at a path of the user's. */
    async function killed(): Promise<{ lan: string; vsock: string }> {
      const { leave, place: left } = await joinLan({ kind: 'lan', lan: 'demo' }, 'web');
      const lease = path.join(left.directory, `${left.host}.lease`);
      const text = fs.readFileSync(lease);
      leave();
      // As it was, without anybody who holds a lock.
      fs.mkdirSync(left.directory, { mode: 0o700 });
      fs.writeFileSync(path.join(left.directory, 'lock'), '');
      fs.writeFileSync(lease, text);
      const options = {
        memory: '16M',
        net: { kind: 'lan', lan: 'demo' },
        vsock: { path: 'web.sock' },
      } as const;
      const config = newConfig({ options, autoRemove: false, directory: place });
      const record = { version: 1, status: 'running', restarts: 0 } as const;
      await Store.open(root).create('web', { config, record });
      return { lan: left.directory, vsock: path.join(place, 'web.sock') };
    }

    async function listen(file: string): Promise<net.Server> {
      const server = net.createServer().listen(file);
      await once(server, 'listening');
      return server;
    }

    test('a LAN that nobody is on, and a socket that nobody listens on', async () => {
      const { lan, vsock } = await killed();
      const server = await listen(path.join(place, 'first'));
      fs.linkSync(path.join(place, 'first'), vsock);
      await new Promise((resolve) => server.close(resolve));
      Store.open(root).find('web');
      expect(fs.existsSync(lan)).toBe(false);
      expect(fs.existsSync(vsock)).toBe(false);
    });

    test('a LAN of others stays, and whatever else is at the path', async () => {
      const { lan, vsock } = await killed();
      const { leave, place: other } = await joinLan({ kind: 'lan', lan: 'demo' }, 'db');
      const server = await listen(vsock);
      let connections = 0;
      server.on('connection', () => connections++);
      try {
        Store.open(root).find('web');
        expect(fs.readdirSync(lan).sort()).toEqual(
          [`${other.host}.lease`, `${other.host}.sock`, 'lock'].sort(),
        );
        expect(fs.statSync(vsock).isSocket()).toBe(true);
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(connections).toBe(0);
      } finally {
        leave();
        server.close();
      }
    });

    test('a LAN that somebody joins just now, and a file at the path, stay', async () => {
      const { lan, vsock } = await killed();
      fs.writeFileSync(vsock, 'mine');
      const lock = ProcessLock.tryAcquire(path.join(lan, 'lock'))!;
      Store.open(root).find('web');
      expect(fs.existsSync(path.join(lan, 'lock'))).toBe(true);
      expect(fs.readFileSync(vsock, 'utf8')).toBe('mine');
      lock.release();
    });
  });

  test('after a reboot of the host the reason is that', async () => {
    await create('web', { version: 1, status: 'running', restarts: 0, bootId: 'another' });
    const { exit } = Store.open(root).find('web').readRecord();
    expect(exit?.reason).toBe('host-reboot');
  });

  test('one that was to be removed at its end is removed', async () => {
    await create('web', { version: 1, status: 'running', restarts: 0 }, true);
    expect(Store.open(root).list()).toEqual([]);
    expect(entries()).toEqual([]);
  });

  test('one with a process is left alone, whatever its process id says', async () => {
    const made = await create('web', { version: 1, status: 'running', restarts: 0, pid: 1 });
    const alive = await made.becomeAlive(0);
    expect(Store.open(root).find('web').readRecord().status).toBe('running');
    alive.release();
    expect(Store.open(root).find('web').readRecord().status).toBe('exited');
  });

  test('one that a command is just starting is left alone', async () => {
    const made = await create('web', { version: 1, status: 'starting', restarts: 0 });
    const lock = await made.lock();
    expect(Store.open(root).find('web').readRecord().status).toBe('starting');
    lock.release();
  });
});

describe('locks', () => {
  test('the second waits for the first, and asking does not take the lock', async () => {
    const file = path.join(path.dirname(root), 'lock');
    expect(isLocked(file)).toBe(false);
    const first = tryLock(file)!;
    expect(isLocked(file)).toBe(true);
    expect(tryLock(file)).toBeUndefined();
    await expect(lockFile(file, 20, 'busy')).rejects.toMatchObject({ code: 'ERR_BUSY' });
    const second = lockFile(file, 60_000, 'busy');
    first.release();
    (await second).release();
    expect(isLocked(file)).toBe(false);
  });

  test('who waited for a VM that has been removed does not get it', async () => {
    const made = await create('web');
    const lock = await made.lock();
    const second = made.lock();
    await Store.open(root).remove(made);
    lock.release();
    await expect(second).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  });

  test('a lock ends with its process', () => {
    const file = path.join(path.dirname(root), 'lock');
    const addon = path.resolve('build/Release/vexit.node');
    const script = `
      const fs = require('node:fs');
      const locked = require(${JSON.stringify(addon)}).fileLock(fs.openSync(process.argv[1], 'a'), true);
      process.stdout.write(String(locked));
      process.kill(process.pid, 'SIGKILL');`;
    const { stdout } = spawnSync(process.execPath, ['-e', script, file], { encoding: 'utf8' });
    expect(stdout).toBe('true');
    expect(isLocked(file)).toBe(false);
  });
});

describe('a state directory that cannot be used', () => {
  const damaged = async (spoil: (made: VmDirectory) => void): Promise<unknown> => {
    const made = await create('web');
    spoil(made);
    const store = Store.open(root);
    const error = thrown(() => {
      const found = store.find('web');
      found.readConfig();
      found.readRecord();
    });
    expect(store.names()).toEqual(['web']);
    await store.remove(made);
    expect(entries()).toEqual([]);
    return error;
  };

  test.each([
    ['an empty file', ''],
    ['half a file', '{ "version": 1, "stat'],
    ['another type', '[1, 2]'],
    ['no version', '{}'],
    ['an unknown status', '{ "version": 1, "status": "flying", "restarts": 0 }'],
    ['a pid that is none', '{ "version": 1, "status": "exited", "restarts": 0, "pid": -1 }'],
    ['a later version', '{ "version": 2 }'],
    ['zeroes', '\0'.repeat(4096)],
  ])('state.json is %s: said with the name of the file, and it can be removed', async (_, text) => {
    const error = await damaged((made) => fs.writeFileSync(made.file('state.json'), text));
    expect(error).toMatchObject({
      code: 'ERR_STORE',
      message: expect.stringContaining('state.json') as string,
    });
  });

  test('config.json is missing, a link, or a directory', async () => {
    for (const spoil of [
      () => undefined,
      (file: string) => fs.symlinkSync('/etc/passwd', file),
      (file: string) => fs.mkdirSync(file),
    ]) {
      const error = await damaged((made) => {
        fs.rmSync(made.file('config.json'));
        spoil(made.file('config.json'));
      });
      expect(code(error)).toBe('ERR_STORE');
    }
  });

  test('others may write to it', async () => {
    await create('web');
    fs.chmodSync(root, 0o777);
    expect(code(thrown(() => Store.open(root)))).toBe('ERR_STORE');
  });

  test('a file is in its place', () => {
    fs.writeFileSync(root, '');
    expect(code(thrown(() => Store.open(root)))).toBe('ERR_STORE');
  });

  const asRoot = process.geteuid?.() === 0 ? test : test.skip;
  asRoot('it belongs to another user', async () => {
    await create('web');
    fs.chownSync(root, 12345, 12345);
    expect(thrown(() => Store.open(root))).toMatchObject({
      code: 'ERR_STORE',
      message: expect.stringContaining('another user (uid 12345)') as string,
    });
  });
});

describe('files', () => {
  test('are replaced as a whole, and leave no other', () => {
    const file = path.join(path.dirname(root), 'x.json');
    writeJson(file, { a: 1 });
    writeJson(file, { a: 2 });
    expect(readJson(file)).toEqual({ a: 2 });
    expect(fs.readdirSync(path.dirname(root))).toEqual(['x.json']);
  });

  test('on a full disk the old one stays, or the new one takes its blocks', () => {
    const mount = path.join(path.dirname(root), 'small');
    fs.mkdirSync(mount);
    const full = path.join(mount, 'x.json');
    writeJson(full, { a: 1 });
    const rename = jest.spyOn(fs, 'renameSync').mockImplementation(() => {
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    });
    try {
      writeJson(full, { a: 2 });
      expect(readJson(full)).toEqual({ a: 2 });
      const long = { a: 'x'.repeat(5000) };
      expect(thrown(() => writeJson(full, long))).toMatchObject({
        code: 'ERR_STORE',
        hint: 'make room on that file system',
      });
      expect(readJson(full)).toEqual({ a: 2 });
      expect(fs.readdirSync(mount)).toEqual(['x.json']);
    } finally {
      rename.mockRestore();
    }
  });

  test('options that are no plain data are refused by name', () => {
    const options = { disks: [{ path: () => undefined }] };
    expect(thrown(() => newConfig({ options: options as never }))).toMatchObject({
      code: 'ERR_CONFIG',
      message: 'options.disks[0].path cannot be kept in a file',
    });
  });
});

describe('events', () => {
  test('are kept in order, bounded, and half a line is nobody', () => {
    const file = path.join(path.dirname(root), 'events.jsonl');
    const log = new EventLog(file);
    log.add({ type: 'create', name: 'a' });
    fs.appendFileSync(file, '{"time":"2026\n');
    log.add({ type: 'remove', name: 'a' });
    expect(log.read().map(({ type }) => type)).toEqual(['create', 'remove']);
    for (let i = 0; i < 30_000; i++) log.add({ type: 'start', name: `vm-${i}` });
    const bytes = [file, `${file}.1`].map((name) => fs.statSync(name).size);
    expect(Math.max(...bytes)).toBeLessThan(1.1 * 2 ** 20);
    expect(log.read().at(-1)?.name).toBe('vm-29999');
  });

  test('are followed over a rotation', async () => {
    const file = path.join(path.dirname(root), 'events.jsonl');
    const log = new EventLog(file);
    log.add({ type: 'create', name: 'before' });
    const stop = new AbortController();
    const names: string[] = [];
    const following = (async () => {
      for await (const { name } of log.follow(stop.signal)) {
        names.push(name);
        if (names.length === 3) stop.abort();
      }
    })();
    await new Promise((resolve) => setImmediate(resolve));
    log.add({ type: 'start', name: 'one' });
    fs.renameSync(file, `${file}.1`);
    log.add({ type: 'start', name: 'two' });
    log.add({ type: 'start', name: 'three' });
    await following;
    expect(names).toEqual(['one', 'two', 'three']);
  });
});
