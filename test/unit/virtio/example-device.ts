import {
  readLittleEndian,
  writeLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type DescriptorChain,
  type VirtioDevice,
  type VirtQueue,
} from 'vexit';

/** Feature bit 0: the text comes back in capitals. */
const UPPERCASE = 0;
/** Configuration space: one 32-bit field, the number of requests answered. */
const COUNT = 0;
const LONGEST = 4096;

/** Sends text back. A request is readable text, followed by room for the answer. */
export class TextDevice implements VirtioDevice {
  readonly type = 63;
  readonly name = 'text';
  readonly features = [UPPERCASE];
  readonly queueSizes = [64];
  readonly configBytes = 4;
  readonly stateBytes = 4;

  private context!: DeviceContext;
  private chain!: DescriptorChain;
  private readonly text = new Uint8Array(LONGEST);

  attach(context: DeviceContext): void {
    this.context = context;
    this.chain = context.createChain();
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.context.state, COUNT + offset, size);
  }

  process(queue: VirtQueue): void {
    const { chain, context, text } = this;
    const { state } = context;
    while (queue.pop(chain)) {
      const length = chain.readable.read(text);
      if (context.hasFeature(UPPERCASE)) {
        for (let i = 0; i < length; i++) if (text[i]! >= 97 && text[i]! <= 122) text[i]! -= 32;
      }
      queue.push(chain.token, chain.writable.write(text, 0, length));
      writeLittleEndian(state, COUNT, 4, (readLittleEndian(state, COUNT, 4) + 1) % 2 ** 32);
    }
  }
}
