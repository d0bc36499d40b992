/** What Linux does to a port: the sequences of drivers/tty/serial/8250 and of earlycon. */
import * as uart from '../../../src/devices/legacy/serial-registers.js';
import { ascii, text } from './harness.js';
import { SerialBench } from './serial-harness.js';

const { IER, IIR, LCR, LSR, MCR, MSR, RBR, THR, FCR } = uart;
/** With LCR = 0xbf, register 2 of later UARTs. */
const EFR = 2;
const BOTH_EMPTY = uart.LSR_TEMT | uart.LSR_THRE;

/** autoconfig(): is there a UART, and does its loopback work? */
function probe(bench: SerialBench): { ierBits: number[]; loopbackStatus: number } {
  const ier = bench.in(IER);
  bench.out(IER, 0);
  const none = bench.in(IER) & 0x0f;
  bench.out(IER, 0x0f);
  const all = bench.in(IER) & 0x0f;
  bench.out(IER, ier);
  const mcr = bench.in(MCR);
  bench.out(MCR, uart.MCR_LOOP | 0x0a);
  const loopbackStatus = bench.in(MSR) & 0xf0;
  bench.out(MCR, mcr);
  return { ierBits: [none, all], loopbackStatus };
}

/** autoconfig(): bits 7:6 of IIR tell 8250, 16450, 16550 and 16550A apart. */
function fifoBits(bench: SerialBench): number {
  bench.out(LCR, 0xbf);
  bench.out(EFR, 0);
  bench.out(LCR, 0);
  bench.out(FCR, uart.FCR_ENABLE);
  return bench.in(IIR) >> 6;
}

/** serial8250_clear_fifos() */
function clearFifos(bench: SerialBench): void {
  bench.out(FCR, 0x01);
  bench.out(FCR, 0x07);
  bench.out(FCR, 0x00);
}

function readAllStatus(bench: SerialBench): void {
  for (const register of [LSR, RBR, IIR, MSR]) bench.in(register);
}

test('a UART is found: IER keeps four bits and loopback gives 0x90', () => {
  expect(probe(new SerialBench())).toEqual({ ierBits: [0, 0x0f], loopbackStatus: 0x90 });
});

test('the type is 16550A', () => {
  expect(fifoBits(new SerialBench())).toBe(3);
});

test('it is none of the later types', () => {
  const bench = new SerialBench();
  fifoBits(bench);
  // 16650 and its kin have an EFR, which would read as zero.
  bench.out(LCR, 0x80);
  expect(bench.in(EFR)).not.toBe(0);
  bench.out(LCR, 0xbf);
  expect(bench.in(EFR)).not.toBe(0);
  // National's Super I/O: MCR.LOOP shows through in EXCR1.
  for (const mcr of [0, uart.MCR_LOOP]) {
    bench.out(LCR, 0);
    bench.out(MCR, mcr);
    bench.out(LCR, 0xe0);
    expect(bench.in(2) & uart.MCR_LOOP).toBe(0);
  }
  bench.out(LCR, 0);
  bench.out(MCR, 0);
  // TI16750: a FIFO of 64 bytes shows in bit 5 of IIR.
  bench.out(LCR, 0x80);
  bench.out(FCR, uart.FCR_ENABLE | 0x20);
  expect(bench.in(IIR) >> 5).toBe(6);
  bench.out(LCR, 0);
  // XScale: IER has a unit enable bit.
  bench.out(IER, 0x40);
  expect(bench.in(IER)).toBe(0);
});

test('size_fifo() counts sixteen characters in loopback', () => {
  const bench = new SerialBench();
  bench.out(FCR, 0x07);
  bench.out(MCR, uart.MCR_LOOP);
  bench.out(LCR, 0x80);
  bench.out(uart.DLL, 1);
  bench.out(uart.DLM, 0);
  bench.out(LCR, 0x03);
  for (let i = 0; i < 256; i++) bench.out(THR, i);
  expect(bench.readAll(256)).toHaveLength(16);
});

/** serial8250_do_startup() */
function startup(bench: SerialBench): { bugThre: boolean; bugTxen: boolean } {
  clearFifos(bench);
  readAllStatus(bench);
  expect(bench.in(LSR)).not.toBe(0xff);
  expect(bench.in(LSR) & BOTH_EMPTY).toBe(BOTH_EMPTY);
  bench.out(IER, uart.IER_THRE);
  const iirFirst = bench.in(IIR);
  bench.out(IER, 0);
  bench.out(IER, uart.IER_THRE);
  const iirSecond = bench.in(IIR);
  bench.out(IER, 0);
  const bugThre = (iirFirst & uart.IIR_NONE) === 0 && (iirSecond & uart.IIR_NONE) !== 0;

  bench.out(LCR, 0x03);
  bench.out(MCR, uart.MCR_DTR | uart.MCR_RTS | uart.MCR_OUT2);
  bench.out(IER, uart.IER_THRE);
  const lsr = bench.in(LSR);
  const iir = bench.in(IIR);
  bench.out(IER, 0);
  const bugTxen = (lsr & uart.LSR_TEMT) !== 0 && (iir & uart.IIR_NONE) !== 0;
  readAllStatus(bench);
  bench.out(FCR, 0x81);
  bench.out(IER, uart.IER_RLS | uart.IER_RDA);
  return { bugThre, bugTxen };
}

test('start-up finds neither UART_BUG_THRE nor UART_BUG_TXEN', () => {
  expect(startup(new SerialBench())).toEqual({ bugThre: false, bugTxen: false });
});

/** serial8250_interrupt(): handles the port until it reports nothing; returns what it read. */
function handleInterrupt(
  bench: SerialBench,
  transmit: number[],
): { input: number[]; passes: number } {
  const input: number[] = [];
  let passes = 0;
  for (; (bench.in(IIR) & uart.IIR_NONE) === 0; passes++) {
    let lsr = bench.in(LSR);
    for (let i = 0; i < 256 && (lsr & uart.LSR_DATA_READY) !== 0; i++) {
      input.push(bench.in(RBR));
      lsr = bench.in(LSR);
    }
    bench.in(MSR);
    if ((lsr & uart.LSR_THRE) !== 0 && (bench.in(IER) & uart.IER_THRE) !== 0) {
      for (const byte of transmit.splice(0, 16)) bench.out(THR, byte);
      if (transmit.length === 0) bench.out(IER, bench.in(IER) & ~uart.IER_THRE);
    }
  }
  return { input, passes };
}

test('interrupt-driven output is sent whole and stops with the line low', () => {
  const bench = new SerialBench();
  startup(bench);
  const message = 'interrupt-driven output, longer than the sixteen bytes of the transmitter FIFO';
  const transmit = [...ascii(message)];
  bench.out(IER, bench.in(IER) | uart.IER_THRE);
  expect(bench.irq.level).toBe(true);
  handleInterrupt(bench, transmit);
  expect(text(bench.port.take())).toBe(message);
  expect(bench.irq.level).toBe(false);
});

test('interrupt-driven output goes on by itself when a slow host has drained', () => {
  const bench = new SerialBench();
  startup(bench);
  const transmit = Array.from({ length: 40_000 }, (_, i) => i & 0xff);
  const expected = [...transmit];
  bench.out(IER, bench.in(IER) | uart.IER_THRE);
  const received: number[] = [];
  while (received.length < expected.length) {
    expect(bench.irq.level).toBe(true);
    handleInterrupt(bench, transmit);
    expect(bench.irq.level).toBe(false);
    received.push(...bench.port.take());
  }
  expect(received).toEqual(expected);
  expect(bench.port.lostBytes).toBe(0);
});

test('a paste is read in one interrupt, far from the limit of 512 passes', () => {
  const bench = new SerialBench();
  startup(bench);
  bench.port.receive(new Uint8Array(4096));
  const { input, passes } = handleInterrupt(bench, []);
  expect(input).toHaveLength(4096);
  expect(passes).toBeLessThan(32);
  expect(bench.irq.level).toBe(false);
});

test('a polled console write keeps what was enabled and needs no interrupt', () => {
  const bench = new SerialBench();
  startup(bench);
  const { calls } = bench.irq;
  const ier = bench.in(IER);
  bench.out(IER, 0);
  for (const byte of ascii('[    0.000000] Linux version\r\n')) {
    expect(bench.in(LSR) & BOTH_EMPTY).toBe(BOTH_EMPTY);
    bench.out(THR, byte);
  }
  bench.out(IER, ier);
  expect(text(bench.port.take())).toContain('Linux version');
  expect(bench.irq.calls).toBe(calls);
});

test('type-ahead from before power-on reaches the shell: earlycon, probe, start-up lose nothing', () => {
  const bench = new SerialBench();
  bench.port.receive(ascii('uname -a\n'));
  // early_serial_hw_init()
  for (const [register, value] of [
    [LCR, 0x03],
    [IER, 0x00],
    [FCR, 0x00],
    [MCR, 0x03],
  ] as const) {
    bench.out(register, value);
  }
  bench.send('early');
  probe(bench);
  fifoBits(bench);
  clearFifos(bench);
  bench.in(RBR);
  bench.out(MCR, 0); // the port is not open yet
  startup(bench);
  expect(text(Uint8Array.from(handleInterrupt(bench, []).input))).toBe('uname -a\n');
});

test('G3: a second start-up after the port was shut down works as the first', () => {
  const bench = new SerialBench();
  startup(bench);
  // serial8250_do_shutdown()
  bench.out(IER, 0);
  bench.out(MCR, 0);
  bench.out(LCR, bench.in(LCR) & ~0x40);
  clearFifos(bench);
  bench.in(RBR);
  bench.port.receive(ascii('again'));
  expect(startup(bench)).toEqual({ bugThre: false, bugTxen: false });
  expect(text(Uint8Array.from(handleInterrupt(bench, []).input))).toBe('again');
});
