/** What the fuzzing driver runs: one target for each thing that a guest feeds. */

/** A target in use, for any number of cases one after the other. */
export interface OpenTarget {
  /** Runs one case. What it throws, or rejects with, is a failure. */
  run(bytes: Uint8Array): void | Promise<void>;
  close?(): void | Promise<void>;
}

export interface FuzzTarget {
  /** File name of the target, and folder of its corpus. */
  readonly name: string;
  /** Longer cases are cut. */
  readonly maxBytes: number;
  /** Cases to begin with, besides the corpus. */
  readonly seeds: readonly Uint8Array[];
  /** Values that mean something in a case. */
  readonly dictionary?: readonly Uint8Array[];
  /** Offsets of numbers that decide much; the rest is changed as well. */
  readonly fields?: readonly number[];
  /** Basic blocks that one case may run; 1 million unless given. */
  readonly workLimit?: number;
  /** Changes a mutated case, such as by making checksums right again. Not in place. */
  readonly repair?: (bytes: Uint8Array) => Uint8Array;
  open(): OpenTarget | Promise<OpenTarget>;
}
