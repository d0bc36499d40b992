/** What a raw backend needs to know of an open file; plain data, usable in every thread of the process. */
export interface RawFile {
  /** For messages. */
  readonly path: string;
  readonly fd: number;
  /** With O_DIRECT: the same file without it. */
  readonly bufferedFd?: number;
  /** What O_DIRECT asks of offsets, lengths and addresses; 1 without it. */
  readonly alignment: number;
  readonly readOnly: boolean;
  readonly blockDevice: boolean;
  /** Bytes of the file when it was opened. */
  readonly size: number;
  /** Bytes of the disk, if not the size: what is behind the end of the file reads as zeroes. */
  readonly capacity?: number;
}
