/** Names of the traditional memory balloon (virtio 1.2, 5.5), and the layout of its state. */

/** Feature bits (5.5.3). */
export enum BalloonFeature {
  MustTellHost = 0,
  StatsQueue = 1,
  DeflateOnOom = 2,
  FreePageHint = 3,
  PagePoison = 4,
  PageReporting = 5,
}

/** What a queue is for. */
export enum BalloonQueue {
  Inflate,
  Deflate,
  Stats,
  Reporting,
}

/** Size of the pages that are counted, whatever the guest's are. */
export const BALLOON_PAGE = 4096;

/** `struct virtio_balloon_config`: four 32-bit fields. */
export const CONFIG_BYTES = 16;
/** Offsets in it. */
export enum ConfigField {
  NumPages = 0,
  Actual = 4,
  FreePageHintCommand = 8,
  PoisonValue = 12,
}

/** Names of the statistics, by tag (5.5.6.4). */
export const STAT_NAMES = [
  'swapIn',
  'swapOut',
  'majorFaults',
  'minorFaults',
  'freeMemory',
  'totalMemory',
  'availableMemory',
  'diskCaches',
  'hugePageAllocations',
  'hugePageFailures',
  'oomKills',
  'allocationStalls',
  'asyncScans',
  'directScans',
  'asyncReclaims',
  'directReclaims',
] as const;

/** The name of a statistic. */
export type BalloonStatName = (typeof STAT_NAMES)[number];

/** `struct virtio_balloon_stat`: a 16-bit tag and a 64-bit value, packed. */
export const STAT_BYTES = 10;

/** The state: the configuration space, then the statistics as the guest sent them last. */
export const STATS_COUNT = CONFIG_BYTES;
export const STATS_DATA = CONFIG_BYTES + 8;
/** Entries that are kept: each tag once, and room for some that are not known yet. */
export const STATS_LIMIT = 64;
export const STATE_BYTES = STATS_DATA + STATS_LIMIT * STAT_BYTES;
