/** What an I/O worker offers the devices it serves: engines for asynchronous I/O, one of a kind. */
import { IoDispatcher } from '../../block/io-dispatcher.js';
import { createIoEngine, type IoEngine, type IoEngineKind } from '../../io/index.js';

/** An engine and the one who tells its users apart. */
export interface SharedEngine {
  readonly engine: IoEngine;
  readonly dispatcher: IoDispatcher;
}

/** Requests in flight in one engine: several disks at their full depth. */
const ENTRIES = 1024;

/** The services of one thread. */
export class IoServices {
  private readonly engines = new Map<IoEngineKind | 'best', SharedEngine>();
  /** The same, in the order they were made. */
  private readonly opened: IoEngine[] = [];
  private readonly batchListeners: (() => void)[] = [];

  /** @param memoryId guest memory, which stays mapped while a request can touch it */
  constructor(private readonly memoryId: number) {}

  /**
   * The engine of a kind, made at its first use.
   * @throws VexitError ERR_IO when this host has none of that kind
   */
  engine(kind?: IoEngineKind): SharedEngine {
    const key = kind ?? 'best';
    let shared = this.engines.get(key);
    if (shared === undefined) {
      const dispatcher = new IoDispatcher();
      const engine = createIoEngine({
        ...(kind === undefined ? {} : { kind }),
        entries: ENTRIES,
        memories: [this.memoryId],
        onCompletion: dispatcher.complete,
        onBatch: () => this.delivered(),
      });
      shared = { engine, dispatcher };
      this.engines.set(key, shared);
      this.opened.push(engine);
    }
    return shared;
  }

  /** Has a listener called after completions have been taken. */
  onBatch(listener: () => void): void {
    this.batchListeners.push(listener);
  }

  private delivered(): void {
    for (const listener of this.batchListeners) listener();
  }

  /**
   * Hands collected requests over and takes the completions that are there.
   * @returns true when requests are still with the kernel, or have come to be by what was taken
   */
  poll(): boolean {
    let taken = 0;
    for (const engine of this.opened) if (engine.inFlight > 0) taken += engine.submitAndReap();
    if (taken > 0) this.delivered();
    for (const engine of this.opened) if (engine.inFlight > 0) return true;
    return false;
  }

  async close(): Promise<void> {
    await Promise.all(this.opened.map((engine) => engine.close()));
  }
}
