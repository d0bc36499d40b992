/** Modem lines, loopback, input and state of the serial port. */
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { Serial } from '../../../src/devices/legacy/serial.js';
import * as uart from '../../../src/devices/legacy/serial-registers.js';
import { ascii, copyOf, randomNumbers, text } from './harness.js';
import { SerialBench } from './serial-harness.js';

const { IER, IIR, LCR, LSR, MCR, MSR, RBR, THR, FCR, SCR, DLL } = uart;
const READY = uart.LSR_THRE | uart.LSR_TEMT;

describe('modem lines', () => {
  test('changes are reported once, RI only when it goes off', () => {
    const bench = new SerialBench().open(uart.IER_MSI);
    bench.in(MSR);
    bench.port.setModemLines({ cts: false, dsr: false, dcd: false, ri: true });
    expect(bench.irq.level).toBe(true);
    expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_MSI);
    expect(bench.in(MSR)).toBe(
      uart.MSR_RI | uart.MSR_DELTA_CTS | uart.MSR_DELTA_DSR | uart.MSR_DELTA_DCD,
    );
    expect(bench.irq.level).toBe(false);
    bench.port.setModemLines({ ri: false });
    expect(bench.in(MSR)).toBe(uart.MSR_TRAILING_RI);
    expect(bench.in(MSR)).toBe(0);
  });

  test('the host sees DTR and RTS, inactive in loopback', () => {
    const bench = new SerialBench();
    bench.out(MCR, uart.MCR_DTR | uart.MCR_RTS);
    expect(bench.port.modemOutputs).toEqual({ dtr: true, rts: true });
    bench.out(MCR, uart.MCR_DTR | uart.MCR_RTS | uart.MCR_LOOP);
    expect(bench.port.modemOutputs).toEqual({ dtr: false, rts: false });
  });
});

describe('loopback', () => {
  test('modem outputs come back as inputs', () => {
    const bench = new SerialBench();
    for (let bits = 0; bits < 16; bits++) {
      bench.out(MCR, uart.MCR_LOOP | bits);
      const expected =
        (bits & uart.MCR_RTS ? uart.MSR_CTS : 0) |
        (bits & uart.MCR_DTR ? uart.MSR_DSR : 0) |
        (bits & uart.MCR_OUT1 ? uart.MSR_RI : 0) |
        (bits & uart.MCR_OUT2 ? uart.MSR_DCD : 0);
      expect(bench.in(MSR) & 0xf0).toBe(expected);
    }
  });

  test('characters come back, nothing goes out, input from outside waits', () => {
    const bench = new SerialBench().open(uart.IER_RDA);
    bench.out(MCR, uart.MCR_LOOP | uart.MCR_RTS);
    bench.port.receive(ascii('outside'));
    bench.send('loop');
    expect(text(Uint8Array.from(bench.readAll()))).toBe('loop');
    expect(bench.port.pending).toBe(0);
    bench.out(MCR, uart.MCR_RTS | uart.MCR_OUT2);
    expect(text(Uint8Array.from(bench.readAll()))).toBe('outside');
  });

  test('G3: a flooded FIFO keeps its sixteen characters and reports one overrun', () => {
    const bench = new SerialBench().open(uart.IER_RLS);
    bench.out(MCR, uart.MCR_LOOP);
    for (let i = 0; i < 100; i++) bench.out(THR, i);
    expect(bench.in(IIR) & 0x0f).toBe(uart.IIR_RLS);
    expect(bench.in(LSR)).toBe(READY | uart.LSR_DATA_READY | uart.LSR_OVERRUN);
    expect(bench.in(LSR)).toBe(READY | uart.LSR_DATA_READY);
    expect(bench.readAll()).toEqual(Array.from({ length: 16 }, (_, i) => i));
  });

  test('without FIFO the last character wins', () => {
    const bench = new SerialBench();
    bench.out(MCR, uart.MCR_LOOP);
    bench.send('ab');
    expect(bench.in(LSR) & uart.LSR_OVERRUN).toBe(uart.LSR_OVERRUN);
    expect(bench.readAll()).toEqual([0x62]);
  });
});

describe('input', () => {
  test('G3: reading RBR when it is empty gives a byte and changes nothing', () => {
    const bench = new SerialBench().open(0x0f);
    for (let i = 0; i < 100; i++) expect(bench.in(RBR)).toBe(0);
    expect(bench.in(LSR)).toBe(READY);
  });

  test('the FIFO is refilled as the guest reads, without losing a byte', () => {
    const bench = new SerialBench().open(uart.IER_RDA, 2);
    const input = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff);
    const received: number[] = [];
    for (let sent = 0; received.length < input.length;) {
      sent += bench.port.receive(input.subarray(sent));
      expect(bench.irq.level).toBe(true);
      received.push(...bench.readAll(3000));
    }
    expect(Buffer.compare(Uint8Array.from(received), input)).toBe(0);
    expect(bench.irq.level).toBe(false);
  });

  test('the queue takes what fits and says how much more it would take', () => {
    const bench = new SerialBench();
    const size = uart.RECEIVE_QUEUE_SIZE;
    expect(bench.port.receiveSpace()).toBe(size);
    expect(bench.port.receive(new Uint8Array(size + 5))).toBe(size);
    expect(bench.port.receiveSpace()).toBe(0);
    expect(bench.port.receive(ascii('x'))).toBe(0);
  });

  test('a doorbell tells once that the queue has drained below half', () => {
    const bench = new SerialBench().open(uart.IER_RDA);
    bench.port.receive(new Uint8Array(uart.RECEIVE_QUEUE_SIZE));
    expect(bench.inputDoorbell.rings).toBe(0);
    bench.readAll();
    expect(bench.inputDoorbell.rings).toBe(1);
    bench.port.receive(ascii('short'));
    bench.readAll();
    expect(bench.inputDoorbell.rings).toBe(1);
  });

  test('input that comes before the guest listens waits, through resets and blind reads', () => {
    const bench = new SerialBench();
    bench.port.receive(ascii('early'));
    bench.out(MCR, uart.MCR_DTR | uart.MCR_RTS);
    bench.out(FCR, 0x07);
    bench.out(FCR, 0);
    for (const register of [LSR, RBR, IIR, MSR]) bench.in(register);
    bench.send('polled output');
    expect(bench.in(LSR) & uart.LSR_DATA_READY).toBe(0);
    bench.open(uart.IER_RDA);
    expect(text(Uint8Array.from(bench.readAll()))).toBe('early');
  });

  test('a guest that polls LSR gets input without interrupts and without modem control', () => {
    const bench = new SerialBench();
    bench.port.receive(ascii('polled'));
    bench.listenByPolling();
    expect(text(Uint8Array.from(bench.readAll()))).toBe('polled');
  });

  test('a guest that waits for the transmitter is not taken for one that wants input', () => {
    const bench = new SerialBench();
    bench.port.receive(ascii('later'));
    for (let i = 0; i < 1000; i++) {
      bench.in(LSR);
      bench.in(LSR);
      bench.send('x');
    }
    expect(bench.in(LSR) & uart.LSR_DATA_READY).toBe(0);
  });

  test('hardware flow control: input waits while RTS is low, once RTS has been high', () => {
    const bench = new SerialBench().open(uart.IER_RDA);
    bench.out(MCR, uart.MCR_OUT2);
    bench.port.receive(ascii('held'));
    expect(bench.in(LSR) & uart.LSR_DATA_READY).toBe(0);
    bench.out(MCR, uart.MCR_OUT2 | uart.MCR_RTS);
    expect(bench.irq.level).toBe(true);
    expect(text(Uint8Array.from(bench.readAll()))).toBe('held');
  });

  test('a guest that never touches RTS is not held up', () => {
    const bench = new SerialBench();
    bench.out(MCR, uart.MCR_OUT2);
    bench.out(IER, uart.IER_RDA);
    bench.port.receive(ascii('x'));
    expect(bench.irq.level).toBe(true);
    expect(bench.in(RBR)).toBe(0x78);
  });

  test('resetting the receiver FIFO empties it, switching FIFOs does too', () => {
    for (const control of [uart.FCR_ENABLE | uart.FCR_RESET_RX, 0]) {
      const bench = new SerialBench().open(0);
      bench.out(MCR, uart.MCR_LOOP);
      bench.send('gone');
      bench.out(FCR, control);
      expect(bench.in(LSR)).toBe(READY);
    }
  });

  test('a break comes in its place, as a zero character with BI', () => {
    const bench = new SerialBench().open(uart.IER_RDA | uart.IER_RLS);
    bench.port.receive(ascii('a'));
    bench.port.sendBreak();
    bench.port.receive(ascii('h'));
    expect(bench.in(LSR)).toBe(READY | uart.LSR_DATA_READY | uart.LSR_ERROR_IN_FIFO);
    expect(bench.in(RBR)).toBe(0x61);
    expect(bench.in(LSR)).toBe(
      READY | uart.LSR_DATA_READY | uart.LSR_BREAK | uart.LSR_ERROR_IN_FIFO,
    );
    expect(bench.in(LSR)).toBe(READY | uart.LSR_DATA_READY);
    expect([bench.in(RBR), bench.in(RBR)]).toEqual([0, 0x68]);
  });
});

describe('state', () => {
  test('survives a save and restore in the middle of activity', () => {
    const bench = new SerialBench().open(0x0f, 1);
    bench.in(IIR);
    bench.send('unfetched');
    bench.port.receive(ascii('0123456789 to be read after the restore'));
    bench.in(RBR);
    bench.out(LCR, 0x83);
    bench.out(DLL, 0x0c);
    bench.out(SCR, 0x5a);

    const restored = new SerialBench(copyOf(bench.block));
    restored.irq.level = bench.irq.level;
    for (const twin of [bench, restored]) {
      expect(twin.in(DLL)).toBe(0x0c);
      expect(twin.in(SCR)).toBe(0x5a);
      twin.out(LCR, 0x03);
      expect(twin.in(IIR) & 0x0f).toBe(uart.IIR_RDA);
      expect(text(Uint8Array.from(twin.readAll()))).toBe('123456789 to be read after the restore');
      expect(text(twin.port.take())).toBe('unfetched');
    }
    expect(Buffer.compare(restored.block.save(), bench.block.save())).toBe(0);
  });

  test('I4: a restored block full of garbage is harmless', () => {
    const random = randomNumbers(7);
    for (let round = 0; round < 200; round++) {
      const block = RegisterBlock.standalone(Serial.REGISTER_BYTES);
      for (let i = 0; i < 128; i++) block.bytes[i] = random() & 0xff;
      const quiet = { set: () => undefined };
      const port = new Serial(block, quiet, { ring: () => undefined });
      for (let i = 0; i < 300; i++) {
        const value = port.read(random() % 8);
        if (value < 0 || value > 255) throw new Error(`read ${value}`);
        port.write(random() % 8, 1, random() & 0xff);
      }
      port.receive(new Uint8Array(5000));
      expect(port.take().length).toBeLessThanOrEqual(uart.OUTPUT_RING_SIZE);
    }
  });
});
