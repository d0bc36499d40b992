/** What passes between the main thread and an I/O worker. */
import type { MessagePort } from 'node:worker_threads';
import type { DiskRateLimits } from '../../devices/virtio/block/block-options.js';
import type { NetLimitOptions } from '../../devices/virtio/net/net-limits.js';
import type { GuestMemoryDescriptor } from '../../memory/guest-memory.js';
import type { NetEvent } from '../../net/events.js';
import type { ErrorCode } from '../../util/errors.js';
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
  /** Where to ask about the flows of a network, by slot. */
  readonly deciders: ReadonlyMap<number, MessagePort>;
}

/** What the main thread asks for. */
export type IoCommand =
  | { readonly type: 'pause' }
  | { readonly type: 'resume' }
  | { readonly type: 'stop' }
  | { readonly type: 'resize'; readonly slot: number; readonly bytes: number }
  | { readonly type: 'limit'; readonly slot: number; readonly limits: NetLimitOptions }
  | { readonly type: 'limit-disk'; readonly slot: number; readonly limits: DiskRateLimits };

/** A command and the number that its answer has. */
export interface IoRequest {
  readonly id: number;
  readonly command: IoCommand;
}

/** What went wrong with a command. */
export interface IoFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
}

/** What a worker tells the main thread. */
export type IoMessage =
  | { readonly type: 'done'; readonly id: number; readonly failure?: IoFailure }
  | { readonly type: 'failed'; readonly failure: IoFailure }
  | { readonly type: 'log'; readonly message: string }
  | { readonly type: 'network'; readonly slot: number; readonly event: NetEvent };
