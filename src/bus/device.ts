/** What the rooms above the bus see of it: devices, interrupt lines, doorbells, requests. */

/** Bytes of one access. */
export type AccessSize = 1 | 2 | 4;

/**
 * A device on the port or memory bus. Offsets count from the start of the device's range; values
 * are unsigned. The bus only calls with accesses that lie inside the range, and cuts wider ones
 * into the device's width.
 */
export interface BusDevice {
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
}

/** A level-triggered line into the interrupt controller. */
export interface InterruptLine {
  /** Drives the line; setting the level it has already costs nothing. */
  set(level: boolean): void;
}

/** Tells another thread that there is something to fetch. */
export interface Doorbell {
  ring(): void;
}

/** Why the guest asked for the machine to change its state. */
export enum MachineRequest {
  None,
  /** ACPI S5 or an equivalent: the machine is switched off. */
  PowerOff,
  /** Reset by i8042, port 0xcf9, port 0x92 or ACPI reset register. */
  Reset,
  /** The guest reported a kernel panic through pvpanic. */
  Panic,
  /** The guest wrote to the debug-exit port; data is the byte written. */
  DebugExit,
  /** KVM_EXIT_SHUTDOWN: triple fault. */
  TripleFault,
  /** An exit the VMM cannot handle. */
  Fatal,
}

/** Where devices hand requests to the machine; the first one wins until it is handled. */
export interface MachineControl {
  request(kind: MachineRequest, data?: number): void;
}

/** The wall clock, injected so that tests decide what time it is. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00Z. */
  now(): number;
}
