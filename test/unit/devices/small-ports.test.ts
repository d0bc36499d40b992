/** Byte ring, POST code and debug consoles. */
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { ByteRing } from '../../../src/devices/legacy/byte-ring.js';
import { DebugConsole, DebugConsoleHost } from '../../../src/devices/legacy/debug-console.js';
import { PostCode } from '../../../src/devices/legacy/post.js';
import { ascii, copyOf, FakeDoorbell, randomNumbers, text } from './harness.js';

describe('byte ring', () => {
  const layout = { headerWord: 0, dataByte: 16, capacity: 8 };
  const ringOf = (block: RegisterBlock) => new ByteRing(block, layout);

  test('takes what fits and gives it back in order', () => {
    const ring = ringOf(RegisterBlock.standalone(24));
    expect(ring.append(ascii('abcdefghij'))).toBe(8);
    expect([ring.length, ring.space]).toEqual([8, 0]);
    const target = new Uint8Array(5);
    expect([ring.drain(target), text(target)]).toEqual([5, 'abcde']);
    expect(ring.append(ascii('XYZ'))).toBe(3);
    const rest = new Uint8Array(8);
    expect([ring.drain(rest), text(rest.subarray(0, 6))]).toEqual([6, 'fghXYZ']);
  });

  test('works across the wrap of its counters', () => {
    const block = RegisterBlock.standalone(24);
    block.words.fill(0x7fff_fffe, 0, 2);
    const ring = ringOf(block);
    for (const byte of ascii('wrapped')) ring.push(byte);
    expect(ring.length).toBe(7);
    expect(text(Uint8Array.from({ length: 7 }, () => ring.shift()))).toBe('wrapped');
    block.words.fill(-2, 0, 2);
    expect(ring.append(ascii('again'))).toBe(5);
    expect(ring.length).toBe(5);
  });

  test('I4: never has more than its capacity, whatever its counters', () => {
    const random = randomNumbers(5);
    const block = RegisterBlock.standalone(24);
    const ring = ringOf(block);
    for (let i = 0; i < 1000; i++) {
      block.words[0] = random();
      block.words[1] = random();
      expect(ring.length).toBeLessThanOrEqual(8);
      expect(ring.drain(new Uint8Array(100))).toBeLessThanOrEqual(8);
    }
  });
});

describe('POST code', () => {
  test('keeps the last code, also across save and restore', () => {
    const block = RegisterBlock.standalone(PostCode.REGISTER_BYTES);
    const port = new PostCode(block);
    port.write(0, 1, 0x11);
    port.write(0, 1, 0xa5);
    expect(port.read()).toBe(0xa5);
    expect(new PostCode(copyOf(block)).last).toBe(0xa5);
  });
});

describe('debug console', () => {
  function bench(block = RegisterBlock.standalone(DebugConsole.REGISTER_BYTES)) {
    const doorbell = new FakeDoorbell();
    const port = new DebugConsole(block, doorbell);
    const send = (message: string) => ascii(message).forEach((byte) => port.write(0, 1, byte));
    return { block, doorbell, port, send };
  }

  test('reads 0xe9', () => {
    expect(bench().port.read()).toBe(0xe9);
  });

  test('rings once until it is drained, also by a host with its own object', () => {
    const { block, doorbell, send } = bench();
    send('SeaBIOS');
    expect(doorbell.rings).toBe(1);
    expect(text(new DebugConsoleHost(block).take())).toBe('SeaBIOS');
    send('!');
    expect(doorbell.rings).toBe(2);
  });

  test('K3: a flood to a blocked host is bounded and counted', () => {
    const { port, doorbell } = bench();
    for (let i = 0; i < 1_000_000; i++) port.write(0, 1, 0x2e);
    expect(doorbell.rings).toBe(1);
    const kept = port.take().length;
    expect(kept).toBe(8192);
    expect(port.lostBytes).toBe(1_000_000 - kept);
  });

  test('output that waits survives a save and restore', () => {
    const { block, send } = bench();
    send('log');
    expect(text(bench(copyOf(block)).port.take())).toBe('log');
  });
});
