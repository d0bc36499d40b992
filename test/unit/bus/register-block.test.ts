import { Worker } from 'node:worker_threads';
import { transformSync } from '@swc/core';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { RegisterBlock, RegisterFileBuilder } from '../../../src/bus/register-block';

const SOURCE = path.resolve(__dirname, '../../../src/bus/register-block.ts');

/** The module as JavaScript for a worker thread, which jest does not transform. */
function moduleCode(): string {
  return transformSync(readFileSync(SOURCE, 'utf8'), {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
  }).code;
}

test('the lock holds against three threads', async () => {
  const builder = new RegisterFileBuilder();
  builder.allocate('before', 20);
  const handle = builder.allocate('contended', 16);
  const buffer = builder.build();
  const block = new RegisterBlock(buffer, handle);
  const rounds = 20_000;
  const code = `${moduleCode()}
    const { workerData } = require('node:worker_threads');
    const block = new exports.RegisterBlock(workerData.buffer, workerData.handle);
    for (let i = 0; i < ${rounds}; i++) {
      block.lock();
      // Plain reads and writes: only the lock keeps additions from getting lost.
      const value = block.words[0];
      if (i % 100 === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.05);
      block.words[0] = value + 1;
      block.unlock();
    }`;
  const ends = [1, 2].map(() => {
    const worker = new Worker(code, { eval: true, workerData: { buffer, handle } });
    return new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));
  });
  for (let i = 0; i < rounds; i++) {
    block.lock();
    block.words[0] = block.words[0]! + 1;
    block.unlock();
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await expect(Promise.all(ends)).resolves.toEqual([0, 0]);
  expect(block.words[0]).toBe(3 * rounds);
});

test('blocks do not share bytes and save what is theirs', () => {
  const builder = new RegisterFileBuilder();
  const handles = [5, 8, 1, 64].map((length, i) => builder.allocate(`block${i}`, length));
  const buffer = builder.build();
  const blocks = handles.map((handle) => new RegisterBlock(buffer, handle));
  blocks.forEach((block, i) => block.bytes.fill(i + 1));
  blocks.forEach((block, i) => {
    expect(block.bytes.length % 8).toBe(0);
    expect(block.save()).toEqual(new Uint8Array(block.bytes.length).fill(i + 1));
    // The lock words are nobody's registers.
    block.lock();
    block.unlock();
  });
  const saved = blocks[3]!.save();
  blocks[3]!.bytes.fill(0);
  blocks[3]!.restore(saved);
  expect(blocks[3]!.bytes[63]).toBe(4);
  expect(() => blocks[3]!.restore(saved.subarray(1))).toThrow(RangeError);
  expect(() => blocks[3]!.restore(new Uint8Array(65))).toThrow(RangeError);
});
