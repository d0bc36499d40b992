/** Settings of the network device, and the features that follow from them. */
import type { NetOffloads } from '../../../net/net-backend.js';
import type { FeatureRule } from '../device.js';
import type { RateLimit } from '../token-bucket.js';
import { NetFeature } from './net-layout.js';

/** Bytes and frames a second, in one direction. */
export interface NetRateLimit {
  readonly bytes?: RateLimit;
  readonly frames?: RateLimit;
}

/** Settings of the device; plain data. */
export interface NetDeviceOptions {
  /** "52:54:00:12:34:56". */
  readonly mac: string;
  /** Told to the driver; 68 to 65535. */
  readonly mtu?: number;
  /** Pairs of queues, 1 to 8; 1 unless given. */
  readonly queuePairs?: number;
  /** What the backend takes. */
  readonly offloads: NetOffloads;
  /** What the guest may send, and what it is sent. */
  readonly tx?: NetRateLimit;
  readonly rx?: NetRateLimit;
}

const CONTROL_FEATURES = [
  NetFeature.ControlGuestOffloads,
  NetFeature.ControlRx,
  NetFeature.ControlVlan,
  NetFeature.GuestAnnounce,
  NetFeature.MultiQueue,
  NetFeature.ControlMac,
];

/** What each feature needs (5.1.3.1). */
export const FEATURE_RULES: readonly FeatureRule[] = [
  ...[NetFeature.GuestTso4, NetFeature.GuestTso6, NetFeature.GuestUfo].map((feature) => ({
    feature,
    requires: [NetFeature.GuestCsum],
  })),
  ...[NetFeature.HostTso4, NetFeature.HostTso6, NetFeature.HostUfo].map((feature) => ({
    feature,
    requires: [NetFeature.Csum],
  })),
  ...CONTROL_FEATURES.map((feature) => ({ feature, requires: [NetFeature.ControlQueue] })),
];

/** The six bytes of an address in text; undefined when it is none, or no unicast one. */
export function parseMac(text: string): number[] | undefined {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return undefined;
  const bytes = text.split(':').map((part) => parseInt(part, 16));
  return (bytes[0]! & 1) === 0 && bytes.some((byte) => byte !== 0) ? bytes : undefined;
}

/** The features of a device with these settings. */
export function offeredFeatures(options: NetDeviceOptions): number[] {
  const { offloads, mtu, queuePairs = 1 } = options;
  const features: number[] = [
    ...[NetFeature.Mac, NetFeature.Status, NetFeature.MergeableBuffers, NetFeature.ControlQueue],
    ...[NetFeature.ControlRx, NetFeature.ControlVlan, NetFeature.ControlMac],
    NetFeature.GuestAnnounce,
  ];
  if (mtu !== undefined) features.push(NetFeature.Mtu);
  if (queuePairs > 1) features.push(NetFeature.MultiQueue);
  if (offloads.csum) {
    features.push(NetFeature.Csum, NetFeature.GuestCsum, NetFeature.ControlGuestOffloads);
    if (offloads.tso4) features.push(NetFeature.HostTso4, NetFeature.GuestTso4);
    if (offloads.tso6) features.push(NetFeature.HostTso6, NetFeature.GuestTso6);
    if (offloads.ecn === true) features.push(NetFeature.HostEcn, NetFeature.GuestEcn);
    if (offloads.ufo === true) features.push(NetFeature.HostUfo, NetFeature.GuestUfo);
  }
  return features;
}
