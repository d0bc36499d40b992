/** The small parts: restart policy, frames, console log, templates, tables, times. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fillTemplate } from '../../../src/cli/manage/template';
import { formatTable } from '../../../src/cli/manage/table';
import { formatDuration, parseSince } from '../../../src/cli/manage/times';
import { ConsoleLog, readLog, type LogOptions } from '../../../src/manage/console-log';
import {
  FrameReader,
  FrameType,
  decodeJson,
  encodeFrame,
  encodeJson,
} from '../../../src/manage/frames';
import { RestartCounter, parseRestartPolicy } from '../../../src/manage/restart-policy';
import { VmDirectory } from '../../../src/manage/vm-directory';

describe('restart policy', () => {
  test.each(['no', 'always', 'on-failure', 'on-failure:3'])('%s is one', (text) => {
    expect(() => parseRestartPolicy(text)).not.toThrow();
  });
  test.each([
    '',
    'yes',
    'always:2',
    'on-failure:0',
    'on-failure:-1',
    'on-failure:1e3',
    'on-failure:',
  ])('%j is none', (text) => expect(() => parseRestartPolicy(text)).toThrow('is not known'));

  test('no and success of on-failure end it, always does not', () => {
    expect(new RestartCounter().next({ name: 'no' }, 1, 0)).toBeUndefined();
    expect(new RestartCounter().next({ name: 'on-failure' }, 0, 0)).toBeUndefined();
    expect(new RestartCounter().next({ name: 'on-failure' }, 1, 0)).toBe(100);
    expect(new RestartCounter().next({ name: 'always' }, 0, 0)).toBe(100);
  });

  test('delays double up to a minute, and begin again after a run that has settled', () => {
    const counter = new RestartCounter();
    const delays = Array.from({ length: 12 }, () => counter.next({ name: 'always' }, 1, 0));
    expect(delays.slice(0, 3)).toEqual([100, 200, 400]);
    expect(delays.at(-1)).toBe(60_000);
    expect(counter.next({ name: 'always' }, 1, 10_000)).toBe(100);
  });

  test('the number of failures in a row is bounded', () => {
    const counter = new RestartCounter();
    const policy = parseRestartPolicy('on-failure:2');
    const results = [1, 2, 3].map(() => counter.next(policy, 1, 0) !== undefined);
    expect(results).toEqual([true, true, false]);
  });
});

describe('frames', () => {
  test('arrive whole however they are cut', () => {
    const bytes = Buffer.concat([
      encodeJson({ op: 'state' }),
      encodeFrame(FrameType.Data, Buffer.from('hello')),
      encodeFrame(FrameType.End),
    ]);
    for (let size = 1; size <= bytes.length; size++) {
      const reader = new FrameReader();
      const frames = [];
      for (let at = 0; at < bytes.length; at += size) {
        frames.push(...reader.push(bytes.subarray(at, at + size)));
      }
      expect(frames.map(({ type }) => type)).toEqual([0, 1, 3]);
      expect(decodeJson(frames[0]!)).toEqual({ op: 'state' });
      expect(frames[1]!.payload.toString()).toBe('hello');
    }
  });

  test('a length that no frame has is refused before it is waited for', () => {
    expect(() => new FrameReader().push(Buffer.from([0xff, 0xff, 0xff, 0x7f, 0]))).toThrow(
      'no frame',
    );
  });

  test.each(['', 'x', '1', 'null', '"a"'])('%j is no request', (text) => {
    expect(() => decodeJson({ type: 0, payload: Buffer.from(text) })).toThrow('no request');
  });
});

describe('console log', () => {
  let directory: VmDirectory;
  beforeEach(() => {
    directory = new VmDirectory(fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-log-')));
  });
  afterEach(() => {
    jest.useRealTimers();
    fs.rmSync(directory.path, { recursive: true });
  });

  async function text(options: LogOptions = {}): Promise<string> {
    const pieces: Buffer[] = [];
    for await (const piece of readLog(directory, options)) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  }

  test('keeps bytes as they are; the last lines by their number', async () => {
    expect(await text()).toBe('');
    const log = new ConsoleLog(directory);
    log.append(Buffer.from('one\ntwo\n'));
    log.append(Buffer.from('\nfour'));
    expect(await text()).toBe('one\ntwo\n\nfour');
    expect(await text({ tail: 0 })).toBe('');
    expect(await text({ tail: 1 })).toBe('four');
    expect(await text({ tail: 2 })).toBe('\nfour');
    expect(await text({ tail: 3 })).toBe('two\n\nfour');
    expect(await text({ tail: 99 })).toBe('one\ntwo\n\nfour');
    log.close();
  });

  test('since a time', async () => {
    jest.useFakeTimers({ now: 1_000_000 });
    const log = new ConsoleLog(directory);
    log.append(Buffer.from('early\n'));
    jest.setSystemTime(2_000_000);
    log.append(Buffer.from('late\n'));
    log.close();
    jest.useRealTimers();
    expect(await text({ since: 0 })).toBe('early\nlate\n');
    expect(await text({ since: 1_500_000 })).toBe('late\n');
    expect(await text({ since: 2_000_001 })).toBe('');
  });

  test('is bounded: the newest are kept', async () => {
    const log = new ConsoleLog(directory, 1000);
    for (let i = 0; i < 1000; i++) log.append(Buffer.from(`line ${i}\n`));
    log.close();
    const kept = await text();
    expect(kept.length).toBeLessThan(2100);
    expect(kept.endsWith('line 998\nline 999\n')).toBe(true);
    expect(await text({ tail: 150 })).toContain('line 850\n');
  });

  test('is followed over its rotation until the VM has no process any more', async () => {
    const alive = await directory.becomeAlive(0);
    const log = new ConsoleLog(directory, 100);
    log.append(Buffer.from('begin\n'));
    let seen = '';
    const following = (async () => {
      for await (const piece of readLog(directory, { follow: true })) seen += piece.toString();
    })();
    let all = 'begin\n';
    for (let i = 0; i < 50; i++) {
      const line = `line ${i}\n`;
      all += line;
      log.append(Buffer.from(line));
      while (!seen.endsWith(line)) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    log.close();
    alive.release();
    await following;
    expect(seen).toBe(all);
  });

  test('a full disk loses output and says how much', () => {
    fs.symlinkSync('/dev/full', directory.file('console.log'));
    const log = new ConsoleLog(directory);
    log.append(Buffer.from('lost'));
    expect(log.lost).toBe(4);
    log.close();
  });
});

describe('what is printed', () => {
  test('templates', () => {
    const vm = { name: 'web', state: { pid: 7, exit: { reason: 'x' } } };
    expect(fillTemplate('{{.name}}\\t{{ .state.pid }}', vm)).toBe('web\t7');
    expect(fillTemplate('{{json .state.exit}} {{.nothing.there}}.', vm)).toBe('{"reason":"x"} .');
    expect(fillTemplate('{{.constructor}}', vm)).toBe('');
    expect(() => fillTemplate('{{range .}}', vm)).toThrow('is not known');
  });

  test('tables, in colour only when asked', () => {
    const columns = [
      { title: 'NAME', value: (row: string[]) => row[0]!, colour: () => 32 },
      { title: 'N', value: (row: string[]) => row[1]!, right: true },
    ];
    const rows = [
      ['a', '1'],
      ['longer', '10'],
    ];
    expect(formatTable(columns, rows, false)).toBe('NAME      N\na         1\nlonger   10\n');
    expect(formatTable(columns, rows, true)).toContain('\u001b[32ma     \u001b[0m');
  });

  test('times', () => {
    expect(parseSince('1h30m', 10_000_000)).toBe(10_000_000 - 5_400_000);
    expect(parseSince('2026-01-31T12:00:00Z')).toBe(Date.UTC(2026, 0, 31, 12));
    expect(parseSince('1700000000')).toBe(1_700_000_000_000);
    expect(() => parseSince('yesterday')).toThrow('is not a time');
    expect([0, 61_000, 7_200_000, 90_000_000].map(formatDuration)).toEqual([
      '0 seconds',
      '1 minute',
      '2 hours',
      '1 day',
    ]);
  });
});
