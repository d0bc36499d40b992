/** Feature negotiation (virtio 1.2, 2.2): sets of feature bits as four 32-bit words. */
import { Feature } from './constants.js';
import type { FeatureRule, VirtioDevice } from './device.js';

const WORDS = 4;

/** Features of rings and transports that this implementation supports. */
export const RING_FEATURES: readonly Feature[] = [
  Feature.Version1,
  Feature.IndirectDescriptors,
  Feature.EventIndex,
  Feature.RingReset,
];

/** True when the bit is set in the words. */
export function hasBit(words: ArrayLike<number>, base: number, bit: number): boolean {
  return (words[base + Math.floor(bit / 32)]! & (1 << (bit % 32))) !== 0;
}

/** The features a device offers, and whether a driver's choice is one. */
export class FeatureSet {
  /** Offered bits, 32 a word. */
  readonly words = new Uint32Array(WORDS);
  private readonly rules: readonly FeatureRule[];

  /**
   * @param without ring features not to offer
   * @throws RangeError when the device offers a feature without one that it needs, or one that is
   *   not a device's to offer
   */
  constructor(
    private readonly device: VirtioDevice,
    without: readonly number[] = [],
  ) {
    const ring = RING_FEATURES.filter((bit) => !without.includes(bit));
    for (const bit of device.features) {
      if (!isDeviceFeature(bit)) {
        throw new RangeError(`${device.name} offers feature ${bit}, which is not a device's`);
      }
    }
    for (const bit of [...ring, ...device.features])
      this.words[Math.floor(bit / 32)]! |= 1 << (bit % 32);
    this.rules = device.featureRules ?? [];
    const broken = this.rules.find((rule) => !follows(rule, this.words, 0));
    if (broken !== undefined) {
      throw new RangeError(`${device.name} offers feature ${broken.feature} without what it needs`);
    }
  }

  /**
   * What is wrong with the features a driver has written, or undefined.
   * @param base index of the first of four words
   */
  problem(driver: ArrayLike<number>, base: number): string | undefined {
    for (let i = 0; i < WORDS; i++) {
      if ((driver[base + i]! & ~this.words[i]!) !== 0) return 'features that were not offered';
    }
    if (!hasBit(driver, base, Feature.Version1)) return 'features without VIRTIO_F_VERSION_1';
    if (!this.rules.every((rule) => follows(rule, driver, base))) {
      return 'a feature without one that it requires';
    }
    const accepted = this.device.acceptFeatures?.((bit) => hasBit(driver, base, bit)) ?? true;
    return accepted ? undefined : 'a combination of features that the device refuses';
  }
}

/** 0 to 23, 41, 42 and 50 to 127 are for devices (virtio 1.2, 2.2). */
function isDeviceFeature(bit: number): boolean {
  return (bit >= 0 && bit <= 23) || bit === 41 || bit === 42 || (bit >= 50 && bit <= 127);
}

function follows(rule: FeatureRule, words: ArrayLike<number>, base: number): boolean {
  if (!hasBit(words, base, rule.feature)) return true;
  return rule.requires.every((bit) => hasBit(words, base, bit));
}
