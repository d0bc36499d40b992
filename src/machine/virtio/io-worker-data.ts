/** What passes between the main thread and an I/O worker. */
import type { GuestMemoryDescriptor } from '../../memory/guest-memory.js';
import type { ControlDescriptor } from '../../vcpu/control-block.js';
import type { VirtioSlot } from './slots.js';

/** Everything a worker needs; plain data and shared memory. */
export interface IoWorkerData {
  readonly memory: GuestMemoryDescriptor;
  readonly control: ControlDescriptor;
  /** The buffer of all register blocks. */
  readonly registers: SharedArrayBuffer;
  readonly slots: readonly VirtioSlot[];
  /** For each slot, the queues that this worker serves. */
  readonly queues: readonly (readonly number[])[];
}

/** What the main thread asks for; a pause is answered. */
export type IoRequest = 'pause' | 'resume' | 'stop';

/** What a worker tells the main thread. */
export type IoMessage =
  { readonly type: 'paused' } | { readonly type: 'log'; readonly message: string };
