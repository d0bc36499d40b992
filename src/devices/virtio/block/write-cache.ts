/** The write cache of a disk as its driver sees and sets it (virtio 1.2, 5.2.5.2 and 5.2.6.2). */
import type { DeviceContext } from '../device.js';
import { BlockConfig, BlockFeature, StateWord, stateWords } from './block-layout.js';
import type { BlockDeviceOptions } from './block-options.js';

/** The field `writeback` of the configuration space, and what follows from it. */
export class WriteCache {
  private readonly words: Int32Array<SharedArrayBuffer>;

  constructor(
    private readonly context: DeviceContext,
    private readonly mode: BlockDeviceOptions['cache'],
  ) {
    this.words = stateWords(context.state);
  }

  /** The field as the driver sees it: without FLUSH it begins as 0 (5.2.5.2). */
  get writeback(): number {
    const { context } = this;
    const set = Atomics.load(this.words, StateWord.WritebackSet) !== 0;
    const wce = context.hasFeature(BlockFeature.ConfigWce);
    if (wce && !set && !context.hasFeature(BlockFeature.Flush)) return 0;
    return context.state[BlockConfig.Writeback]!;
  }

  /** The field is the driver's, when it has accepted CONFIG_WCE. */
  set writeback(value: number) {
    if (value > 1 || !this.context.hasFeature(BlockFeature.ConfigWce)) return;
    this.context.state[BlockConfig.Writeback] = value;
    Atomics.store(this.words, StateWord.WritebackSet, 1);
  }

  /** Writes have to be on persistent storage when they end (5.2.6.2, cases 1 and 2). */
  get stable(): boolean {
    const { context, mode } = this;
    if (mode === 'writethrough') return true;
    if (mode === 'unsafe') return false;
    if (context.hasFeature(BlockFeature.ConfigWce)) return this.writeback === 0;
    return !context.hasFeature(BlockFeature.Flush);
  }

  reset(): void {
    this.context.state[BlockConfig.Writeback] = this.mode === 'writethrough' ? 0 : 1;
    Atomics.store(this.words, StateWord.WritebackSet, 0);
  }
}
