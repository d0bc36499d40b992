/** Asynchronous I/O of files: docs/io.md. */
import { native } from '../kvm/native.js';
import type { IoEngine, IoEngineOptions } from './io-engine.js';
import { openRing } from './open-ring.js';
import { RingEngine } from './ring-engine.js';

export {
  MAX_SEGMENTS,
  type IoCompletion,
  type IoEngine,
  type IoEngineKind,
  type IoEngineOptions,
  type IoFile,
  type IoSegments,
} from './io-engine.js';

/**
 * An engine for the calling thread. It keeps the thread's event loop alive until it is closed.
 * @throws VexitError ERR_IO when io_uring was asked for and cannot be had, or a number is wrong
 */
export function createIoEngine(options: IoEngineOptions): IoEngine {
  const ring = openRing(options);
  try {
    for (const id of options.memories ?? []) native().ringHold(ring.memory.handle, id);
    return new RingEngine(ring, options.onCompletion, options.onBatch);
  } catch (error) {
    native().ringClose(ring.memory.handle);
    throw error;
  }
}
