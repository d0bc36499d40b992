/**
 * Huge pages for the memory that bulk I/O goes to.
 *
 * Guest memory is a memfd, and unless the administrator says otherwise (shmem_enabled) it has pages of
 * 4 KiB only. To copy a MiB of the page cache to or from those takes 13 to 18 us more than to or from a
 * huge page (bench/RESULTS.md). Making one costs a copy of its 2 MiB, and the guest faults its mapping
 * in again; so it is done for chunks that have carried a multiple of that, and never before all their
 * pages are there: no memory is taken that the guest has not touched.
 */

/** Bytes of a huge page. */
export const HUGE_PAGE = 2 ** 21;

/** Bytes to or from a chunk before it is worth a huge page. */
const WORTH = 8 * HUGE_PAGE;
/** What the next attempt at the same chunk has to wait for, as a multiple of the last. */
const PATIENCE = 8;
const EINVAL = -22;

/** Makes a huge page at an offset of guest memory, in another thread; 0 or a negative errno. */
export type Collapse = (offset: number, done: (result: number) => void) => void;

/** Counts bulk I/O, in one thread. At most one huge page is being made at a time. */
export class HugePages {
  /** By chunk: bytes since the last attempt, and how many the next one takes. */
  private readonly bytes: Float64Array;
  private readonly worth: Float64Array;
  private busy = false;
  private impossible = false;

  /** @param size bytes of guest memory; the rest behind the last whole chunk stays as it is */
  constructor(
    size: number,
    private readonly collapse: Collapse,
  ) {
    const chunks = Math.floor(size / HUGE_PAGE);
    this.bytes = new Float64Array(chunks);
    this.worth = new Float64Array(chunks).fill(WORTH);
  }

  /**
   * I/O has gone to or from [offset, offset + length) of guest memory.
   * @param times how many pieces like this one it stands for
   */
  transferred(offset: number, length: number, times = 1): void {
    if (this.impossible) return;
    const { bytes, worth } = this;
    const end = offset + length;
    for (let at = offset; at < end;) {
      const chunk = Math.floor(at / HUGE_PAGE);
      if (chunk >= bytes.length) return;
      const next = Math.min(end, (chunk + 1) * HUGE_PAGE);
      bytes[chunk]! += (next - at) * times;
      at = next;
      if (bytes[chunk]! >= worth[chunk]! && !this.busy) this.attempt(chunk);
    }
  }

  /** What becomes of it is not looked at: a page that lost is found by its traffic again, later. */
  private attempt(chunk: number): void {
    this.bytes[chunk] = 0;
    this.worth[chunk]! *= PATIENCE;
    this.busy = true;
    this.collapse(chunk * HUGE_PAGE, (result) => {
      this.busy = false;
      // A kernel before 6.1.
      if (result === EINVAL) this.impossible = true;
    });
  }
}
