/** Names of the persistent memory device (virtio 1.2, 5.19), and the layout of its state. */

/** Offsets in `struct virtio_pmem_config`; 64 bits each. */
export enum ConfigField {
  Start = 0,
  Size = 8,
}
export const CONFIG_BYTES = 16;

/** `struct virtio_pmem_req`: the type. */
export const REQUEST_BYTES = 4;
export const REQUEST_FLUSH = 0;

/** `struct virtio_pmem_resp`: 0 or -1 (5.19.7.1). */
export const RESPONSE_BYTES = 4;
export const RESPONSE_SUCCESS = 0;
export const RESPONSE_FAILURE = 0xffff_ffff;

/** Entries of the queue, and so the most requests that wait for a flush. */
export const QUEUE_SIZE = 64;

/** What a place for a request is used for. */
export enum SlotPhase {
  Free,
  /** Arrived after the flush that is going on had begun: the next one covers it. */
  Waiting,
  Flushing,
}

/** Words of the device. */
export enum DeviceWord {
  /** Counts resets: requests from before one are not answered. */
  Generation,
  /** A flush has failed: no later one can vouch for what was lost. */
  Failed,
  Count,
}

/** Words of a slot, before its pieces. */
export enum SlotWord {
  Phase,
  Generation,
  Token,
  Pieces,
  /** Low and high half of the address, and length, of each piece. */
  FirstPiece,
}

/** The response is at most in as many pieces as it has bytes. */
export const SLOT_WORDS = SlotWord.FirstPiece + 3 * RESPONSE_BYTES;
export const SLOTS = QUEUE_SIZE;
export const STATE_BYTES = (DeviceWord.Count + SLOTS * SLOT_WORDS) * 4;
