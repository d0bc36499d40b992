/**
 * Names of the 16550A: registers, bits, and the layout of its register block.
 *
 * National Semiconductor PC16550D data sheet, section 8 (registers), table II.
 */
import type { ByteRingLayout } from './byte-ring.js';

/** Offsets of the eight ports. RBR, THR and DLL share one, so do IER and DLM, IIR and FCR. */
export const RBR = 0;
export const THR = 0;
export const DLL = 0;
export const IER = 1;
export const DLM = 1;
export const IIR = 2;
export const FCR = 2;
export const LCR = 3;
export const MCR = 4;
export const LSR = 5;
export const MSR = 6;
export const SCR = 7;

/** Interrupt enable register. */
export const IER_RDA = 0x01;
export const IER_THRE = 0x02;
export const IER_RLS = 0x04;
export const IER_MSI = 0x08;
export const IER_MASK = 0x0f;

/** Interrupt identification register, highest priority first. */
export const IIR_RLS = 0x06;
export const IIR_RDA = 0x04;
export const IIR_CHARACTER_TIMEOUT = 0x0c;
export const IIR_THRE = 0x02;
export const IIR_MSI = 0x00;
export const IIR_NONE = 0x01;
export const IIR_FIFO_ENABLED = 0xc0;

/** FIFO control register. */
export const FCR_ENABLE = 0x01;
export const FCR_RESET_RX = 0x02;
/** Receiver trigger levels by bits 7:6. */
export const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

export const LCR_DLAB = 0x80;

/** Modem control register. */
export const MCR_DTR = 0x01;
export const MCR_RTS = 0x02;
export const MCR_OUT1 = 0x04;
export const MCR_OUT2 = 0x08;
export const MCR_LOOP = 0x10;
export const MCR_MASK = 0x1f;

/** Line status register. */
export const LSR_DATA_READY = 0x01;
export const LSR_OVERRUN = 0x02;
export const LSR_BREAK = 0x10;
export const LSR_THRE = 0x20;
export const LSR_TEMT = 0x40;
export const LSR_ERROR_IN_FIFO = 0x80;

/** Modem status register: what changed, and the inputs. */
export const MSR_DELTA_CTS = 0x01;
export const MSR_DELTA_DSR = 0x02;
export const MSR_TRAILING_RI = 0x04;
export const MSR_DELTA_DCD = 0x08;
export const MSR_CTS = 0x10;
export const MSR_DSR = 0x20;
export const MSR_RI = 0x40;
export const MSR_DCD = 0x80;

export const FIFO_SIZE = 16;
/** Output the host has not fetched yet. */
export const OUTPUT_RING_SIZE = 16 * 1024;
/** Input the guest has not read yet. */
export const RECEIVE_QUEUE_SIZE = 4 * 1024;

/**
 * Words of the register block. A block of zeroes is the state after a master reset, with DSR, CTS
 * and DCD on.
 */
export const enum Word {
  Ier,
  Lcr,
  Mcr,
  Fcr,
  Scr,
  /** DLM:DLL. */
  Divisor,
  /** Overrun and break, until LSR is read. */
  LineErrors,
  /** The four delta bits of MSR, until it is read. */
  ModemDeltas,
  /** Host side modem inputs, as the difference from {@link MODEM_INPUTS_AT_RESET}. */
  ModemInputs,
  /** 1: the THRE interrupt is pending. */
  ThrePending,
  /** 1: the guest has read IIR since it enabled the THRE interrupt. */
  ThreAcknowledged,
  /** Level of the interrupt line. */
  InterruptLevel,
  FifoHead,
  FifoCount,
  /** 1: the guest polls for input. */
  Polling,
  /** Reads of LSR or RBR in a row while nobody listens. */
  IdlePolls,
  /** 1: the guest has raised RTS. */
  RtsSeen,
  /** 1: a break comes after BreakAfter more bytes of the receive queue. */
  BreakQueued,
  BreakAfter,
  /** Characters in the transmitter FIFO: the end of a burst that the output ring had no room for. */
  TransmitCount,
  /** Three words each, see ByteRing. */
  OutputRing = 20,
  ReceiveQueue = 24,
  Count = 28,
}

export const MODEM_INPUTS_AT_RESET = MSR_CTS | MSR_DSR | MSR_DCD;

/** Bytes of the receiver FIFO, then the error bits that came with each. */
export const FIFO_BYTES = Word.Count * 4;
export const FIFO_ERRORS = FIFO_BYTES + FIFO_SIZE;

/** Bytes of the transmitter FIFO. */
export const TRANSMIT_BYTES = FIFO_ERRORS + FIFO_SIZE;

export const OUTPUT_RING: ByteRingLayout = {
  headerWord: Word.OutputRing,
  dataByte: TRANSMIT_BYTES + FIFO_SIZE,
  capacity: OUTPUT_RING_SIZE,
};
export const RECEIVE_QUEUE: ByteRingLayout = {
  headerWord: Word.ReceiveQueue,
  dataByte: OUTPUT_RING.dataByte + OUTPUT_RING_SIZE,
  capacity: RECEIVE_QUEUE_SIZE,
};
export const REGISTER_BYTES = RECEIVE_QUEUE.dataByte + RECEIVE_QUEUE_SIZE;
