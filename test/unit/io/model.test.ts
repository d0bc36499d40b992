/** Random requests, many at once, against a model of the file. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Random, SEED } from '../virtio/fuzz.js';
import { EngineBench, VARIANTS } from './engine-bench.js';

const REQUESTS = 100_000;
/** One request at a time in each strip of the file, because requests are not ordered. */
const STRIPS = 48;
const STRIP = 16384;
/** Host memory of a request: twice its longest data, so that there can be gaps. */
const AREA = 2 * STRIP;
const PUNCH_HOLE_KEEP_SIZE = 3;

interface Pending {
  kind: 'read' | 'write' | 'other';
  /** In the file. */
  start: number;
  length: number;
  /** Pieces of host memory, from the start of the request's area. */
  pieces: { at: number; length: number }[];
}

test.each(VARIANTS)('$name: 100000 random requests do what a model does', async (variant) => {
  const random = new Random(SEED);
  const noise = randomBytes(2 * STRIP);
  const model = randomBytes(STRIPS * STRIP);
  const pending: Pending[] = [];
  const list = { count: 0, addresses: new Float64Array(64), lengths: new Uint32Array(64) };
  let started = 0;
  let wrong = 0;

  const bench: EngineBench = new EngineBench(variant, {
    entries: STRIPS,
    onCompletion: (token, result) => {
      finish(token, result);
      if (started < REQUESTS) start(token);
    },
    onBatch: () => bench.engine.submit(),
  });
  const { engine, memory } = bench;
  writeFileSync(path.join(bench.directory, 'file'), model);
  const { file } = bench.open('file', 'r+');

  function cut(token: number, length: number): Pending['pieces'] {
    const pieces: Pending['pieces'] = [];
    const most = random.chance(50) ? 1 : 1 + random.below(63);
    let at = 0;
    for (let left = length; left > 0;) {
      const last = pieces.length + 1 === most;
      const size = last ? left : 1 + random.below(left);
      pieces.push({ at, length: size });
      at += size + random.below(200);
      left -= size;
    }
    list.count = pieces.length;
    pieces.forEach((piece, i) => {
      list.addresses[i] = memory.address + token * AREA + piece.at;
      list.lengths[i] = piece.length;
    });
    return pieces;
  }

  function start(token: number): void {
    started++;
    const from = random.below(STRIP);
    const length = 1 + random.below(Math.min(STRIP - from, random.chance(80) ? 4096 : STRIP));
    const at = token * STRIP + from;
    const area = memory.bytes.subarray(token * AREA, (token + 1) * AREA);
    const dice = random.below(100);
    let queued: boolean;
    if (dice < 50) {
      const pieces = cut(token, length);
      for (const piece of pieces) area.fill(0xee, piece.at, piece.at + piece.length);
      pending[token] = { kind: 'read', start: at, length, pieces };
      queued = engine.readv(file, list, at, token);
    } else if (dice < 95) {
      const pieces = cut(token, length);
      let done = 0;
      for (const piece of pieces) {
        const source = random.below(STRIP);
        const data = noise.subarray(source, source + piece.length);
        area.set(data, piece.at);
        model.set(data, at + done);
        done += piece.length;
      }
      pending[token] = { kind: 'write', start: at, length, pieces };
      queued = engine.writev(file, list, at, token, random.chance(1));
    } else if (dice < 99) {
      model.fill(0, at, at + length);
      pending[token] = { kind: 'other', start: at, length: 0, pieces: [] };
      queued = engine.fallocate(file, PUNCH_HOLE_KEEP_SIZE, at, length, token);
    } else {
      pending[token] = { kind: 'other', start: at, length: 0, pieces: [] };
      queued = random.chance(5)
        ? engine.fdatasync(file, token)
        : engine.readv(file, { ...list, count: 0 }, at, token);
    }
    if (!queued) throw new Error('the engine has no room');
  }

  function finish(token: number, result: number): void {
    const { kind: what, start: at, length, pieces } = pending[token]!;
    if (result !== length) wrong++;
    if (what !== 'read') return;
    const area = memory.bytes.subarray(token * AREA, (token + 1) * AREA);
    let done = at;
    for (const piece of pieces) {
      const found = area.subarray(piece.at, piece.at + piece.length);
      if (Buffer.compare(found, model.subarray(done, done + piece.length)) !== 0) wrong++;
      done += piece.length;
    }
  }

  for (let token = 0; token < STRIPS; token++) start(token);
  while (engine.inFlight > 0) {
    // Both ways of getting completions, in turn.
    if (random.chance(50)) engine.submitAndReap();
    else engine.submit();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(bench.completions.length).toBe(REQUESTS);
  expect(wrong).toBe(0);
  expect(readFileSync(path.join(bench.directory, 'file')).equals(model)).toBe(true);
  await bench.close();
});
