/** Registers, output and interrupts of the serial port. */
import { SerialHost } from '../../../src/devices/legacy/serial-host.js';
import * as uart from '../../../src/devices/legacy/serial-registers.js';
import { ascii, FakeLine, randomNumbers, text } from './harness.js';
import { SerialBench } from './serial-harness.js';

const { IER, IIR, LCR, LSR, MCR, MSR, RBR, THR, FCR, SCR, DLL, DLM } = uart;
const READY = uart.LSR_THRE | uart.LSR_TEMT;

describe('registers', () => {
  test('after reset the transmitter is empty, nothing is pending and the modem is there', () => {
    const bench = new SerialBench();
    expect([IER, IIR, LCR, MCR, LSR, MSR, SCR].map((register) => bench.in(register))).toEqual([
      0,
      uart.IIR_NONE,
      0,
      0,
      READY,
      uart.MSR_CTS | uart.MSR_DSR | uart.MSR_DCD,
      0,
    ]);
    expect(bench.irq.calls).toBe(0);
  });

  test('scratch and line control registers keep all eight bits', () => {
    const bench = new SerialBench();
    for (let value = 0; value < 256; value++) {
      bench.out(SCR, value);
      expect(bench.in(SCR)).toBe(value);
      bench.out(LCR, value);
      expect(bench.in(LCR)).toBe(value);
    }
  });

  test('IER has four bits and MCR five', () => {
    const bench = new SerialBench();
    bench.out(IER, 0xff);
    bench.out(MCR, 0xff);
    expect([bench.in(IER), bench.in(MCR)]).toEqual([0x0f, 0x1f]);
  });

  test('writes to LSR and MSR change nothing', () => {
    const bench = new SerialBench();
    bench.out(LSR, 0x1e);
    bench.out(MSR, 0x0f);
    expect([bench.in(LSR), bench.in(MSR)]).toEqual([READY, 0xb0]);
  });

  test('G3: with DLAB the divisor latch hides data and IER, and leaves them as they were', () => {
    const bench = new SerialBench().open(uart.IER_RDA);
    bench.port.receive(ascii('x'));
    bench.out(LCR, 0x83);
    bench.out(DLL, 0x0c);
    bench.out(DLM, 0x34);
    expect([bench.in(DLL), bench.in(DLM)]).toEqual([0x0c, 0x34]);
    bench.out(LCR, 0x03);
    expect(bench.in(IER)).toBe(uart.IER_RDA);
    expect(bench.in(RBR)).toBe(0x78);
    expect(bench.port.pending).toBe(0);
  });

  test('G3: DLAB set between the bytes of a message loses nothing that was sent', () => {
    const bench = new SerialBench();
    for (const character of 'divisor') {
      bench.send(character);
      bench.out(LCR, 0x80);
      bench.out(DLL, 1);
      bench.out(LCR, 0x03);
    }
    expect(text(bench.port.take())).toBe('divisor');
  });
});

describe('output', () => {
  test('the doorbell rings once until the host has drained', () => {
    const bench = new SerialBench();
    bench.send('hello');
    expect(bench.doorbell.rings).toBe(1);
    const target = new Uint8Array(64);
    expect(bench.port.drain(target)).toBe(5);
    expect(text(target.subarray(0, 5))).toBe('hello');
    bench.send('!');
    expect(bench.doorbell.rings).toBe(2);
  });

  test('a host in another thread sees the bytes through its own object', () => {
    const bench = new SerialBench();
    const host = new SerialHost(bench.block, new FakeLine());
    bench.send('shared');
    expect(text(host.take())).toBe('shared');
    expect(bench.port.pending).toBe(0);
  });

  test('bytes come out in order across the end of the ring', () => {
    const bench = new SerialBench();
    const target = new Uint8Array(1000);
    for (let round = 0; round < 100; round++) {
      const sent = Uint8Array.from({ length: 997 }, (_, i) => (round * 997 + i) & 0xff);
      for (const byte of sent) bench.out(THR, byte);
      expect(bench.port.drain(target)).toBe(sent.length);
      expect(Buffer.compare(target.subarray(0, sent.length), sent)).toBe(0);
    }
  });

  test('K3: a full ring keeps the transmitter busy until the host drains', () => {
    const bench = new SerialBench().open(uart.IER_THRE);
    bench.in(IIR);
    for (let i = 0; i < uart.OUTPUT_RING_SIZE; i++) {
      if ((bench.in(LSR) & READY) !== READY) throw new Error(`busy after ${i} bytes`);
      bench.out(THR, i & 0xff);
    }
    expect(bench.in(LSR) & READY).toBe(0);
    expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_NONE);
    expect(bench.irq.level).toBe(false);
    bench.port.drain(new Uint8Array(1));
    expect(bench.in(LSR) & READY).toBe(READY);
    expect(bench.irq.level).toBe(true);
    expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_THRE);
    expect(bench.port.lostBytes).toBe(0);
  });

  test('K3: bursts of a whole FIFO after THRE are kept, however the host drains', () => {
    const bench = new SerialBench().open(0);
    const sent: number[] = [];
    const received: number[] = [];
    const target = new Uint8Array(1000);
    const drain = (size: number): void => {
      const part = target.subarray(0, size);
      received.push(...part.subarray(0, bench.port.drain(part)));
    };
    // A host that is behind: the ring is full most of the time, and never by whole bursts.
    for (let round = 0; round < 20_000; round++) {
      if ((bench.in(LSR) & READY) === READY) {
        for (let i = 0; i < uart.FIFO_SIZE; i++) {
          bench.out(THR, sent.length & 0xff);
          sent.push(sent.length & 0xff);
        }
      }
      if (round > 1500) drain(1 + ((round * 7) % 13));
    }
    expect(sent.length).toBeGreaterThan(uart.OUTPUT_RING_SIZE);
    while (bench.port.pending > 0) drain(target.length);
    expect(bench.port.lostBytes).toBe(0);
    expect(Buffer.compare(Buffer.from(received), Buffer.from(sent))).toBe(0);
  });

  test('a burst that fills the ring leaves whole by take, then THRE comes back', () => {
    const bench = new SerialBench().open(uart.IER_THRE);
    for (let i = 0; i < uart.OUTPUT_RING_SIZE - 11; i++) bench.out(THR, 1);
    expect(bench.in(LSR) & READY).toBe(READY);
    for (let i = 0; i < uart.FIFO_SIZE; i++) bench.out(THR, 2);
    expect(bench.in(LSR) & READY).toBe(0);
    expect(bench.irq.level).toBe(false);
    expect(bench.port.take()).toHaveLength(uart.OUTPUT_RING_SIZE);
    expect(bench.irq.level).toBe(true);
    expect([...bench.port.take()]).toEqual([2, 2, 2, 2, 2]);
    expect(bench.port.lostBytes).toBe(0);
  });

  test('enabling the THRE interrupt while busy raises it only when the host has drained', () => {
    const bench = new SerialBench().open(0);
    for (let i = 0; i < uart.OUTPUT_RING_SIZE; i++) bench.out(THR, 0);
    bench.out(IER, uart.IER_THRE);
    expect(bench.irq.level).toBe(false);
    bench.port.take();
    expect(bench.irq.level).toBe(true);
  });

  test('G3, K3: ten million bytes to a blocked host are bounded and counted', () => {
    const bench = new SerialBench();
    const total = 10_000_000;
    for (let i = 0; i < total; i++) bench.port.write(THR, 1, i & 0xff);
    expect(bench.doorbell.rings).toBe(1);
    expect(bench.port.pending).toBe(uart.OUTPUT_RING_SIZE);
    expect(bench.port.lostBytes).toBe(total - uart.OUTPUT_RING_SIZE);
    const kept = bench.port.take();
    expect(kept.every((byte, i) => byte === (i & 0xff))).toBe(true);
    bench.send('on');
    expect(text(bench.port.take())).toBe('on');
  });
});

describe('THRE interrupt', () => {
  test('comes as soon as it is enabled, and reading IIR takes it away', () => {
    const bench = new SerialBench().open(uart.IER_THRE);
    expect(bench.irq.level).toBe(true);
    expect(bench.in(IIR)).toBe(uart.IIR_THRE | uart.IIR_FIFO_ENABLED);
    expect(bench.irq.level).toBe(false);
    expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_NONE);
  });

  test('comes back after each burst with one edge, and no call of the line within it', () => {
    const bench = new SerialBench().open(uart.IER_THRE);
    for (let burst = 0; burst < 4; burst++) {
      const { edges, calls } = bench.irq;
      expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_THRE);
      bench.send('sixteen letters.');
      expect(bench.irq.edges - edges).toBe(1);
      expect(bench.irq.calls - calls).toBe(2);
    }
  });

  test('gives an edge a byte to handlers that never read IIR', () => {
    const bench = new SerialBench().open(uart.IER_THRE);
    const { edges } = bench.irq;
    bench.send('abc');
    expect(bench.irq.edges - edges).toBe(3);
  });

  test('costs nothing while it is disabled', () => {
    const bench = new SerialBench().open(0);
    bench.send('polled console');
    expect(bench.irq.calls).toBe(0);
  });
});

describe('interrupts', () => {
  test('have the priorities of the data sheet', () => {
    const bench = new SerialBench().open(0x0f, 1);
    bench.port.setModemLines({ cts: false });
    bench.port.receive(ascii('ab'));
    bench.port.sendBreak();
    bench.port.receive(ascii('cd'));
    const seen: number[] = [];
    const identify = () => seen.push(bench.in(IIR) & 0x0f);
    bench.in(RBR);
    bench.in(RBR);
    identify(); // the break has come to the top
    bench.in(LSR);
    identify(); // three characters are below the trigger level of four
    bench.port.receive(ascii('e'));
    identify();
    while ((bench.in(LSR) & uart.LSR_DATA_READY) !== 0) bench.in(RBR);
    identify();
    identify();
    bench.in(MSR);
    identify();
    expect(seen).toEqual([
      uart.IIR_RLS,
      uart.IIR_CHARACTER_TIMEOUT,
      uart.IIR_RDA,
      uart.IIR_THRE,
      uart.IIR_MSI,
      uart.IIR_NONE,
    ]);
    expect(bench.irq.level).toBe(false);
  });

  test('reach the line only while OUT2 is on', () => {
    const bench = new SerialBench().open(uart.IER_THRE);
    bench.out(MCR, 0);
    expect(bench.irq.level).toBe(false);
    expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_THRE);
    bench.out(IER, 0);
    bench.out(IER, uart.IER_THRE);
    bench.out(MCR, uart.MCR_OUT2);
    expect(bench.irq.level).toBe(true);
    bench.out(MCR, uart.MCR_OUT2 | uart.MCR_LOOP);
    expect(bench.irq.level).toBe(false);
  });

  test.each([
    [0, 1],
    [1, 4],
    [2, 8],
    [3, 14],
  ])('trigger level %i reports data available from %i characters on', (bits, level) => {
    const bench = new SerialBench().open(uart.IER_RDA, bits);
    bench.port.receive(new Uint8Array(level));
    expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_RDA);
    bench.in(RBR);
    const rest = level === 1 ? uart.IIR_NONE : uart.IIR_CHARACTER_TIMEOUT;
    expect(bench.in(IIR) & 0x0f).toBe(rest);
  });

  test('each read below the trigger level gives an edge, for handlers that take one character', () => {
    const bench = new SerialBench().open(uart.IER_RDA, 3);
    bench.port.receive(ascii('abc'));
    for (const edges of [1, 2, 3, 3]) {
      expect(bench.irq.edges).toBe(edges);
      bench.in(RBR);
    }
    expect(bench.irq.level).toBe(false);
  });

  test('G3: storms of IER and IIR accesses leave the line consistent', () => {
    const bench = new SerialBench().open(0);
    const random = randomNumbers(1);
    const writable = [THR, IER, FCR, LCR, MCR, SCR];
    for (let i = 0; i < 200_000; i++) {
      const choice = random();
      if (choice % 3 === 0) bench.in(choice % 8);
      else bench.out(writable[choice % writable.length]!, random() & 0xff);
      if (choice % 1000 === 0) bench.port.take();
      if (choice % 1500 === 0) bench.port.receive(ascii('storm'));
    }
    // FakeLine throws when it is set to the level it has.
    bench.out(LCR, 0);
    bench.out(IER, 0);
    expect(bench.irq.level).toBe(false);
  });
});
