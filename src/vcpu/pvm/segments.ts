/** The flat segments that SYSCALL and SYSRET load without looking at a descriptor table. */
import type { Segment } from '../../kvm/registers.js';

function flat(selector: number, dpl: number, fields: Pick<Segment, 'type' | 'l' | 'db'>): Segment {
  return {
    base: 0n,
    limit: 0xffffffff,
    selector,
    present: 1,
    dpl,
    s: 1,
    g: 1,
    avl: 0,
    unusable: 0,
    ...fields,
  };
}

/** CS after SYSCALL to 64-bit code: STAR[47:32], RPL 0 (SDM volume 2, SYSCALL). */
export function kernelCodeSegment(selector: number): Segment {
  return flat(selector & 0xfffc, 0, { type: 11, l: 1, db: 0 });
}

/** SS after SYSCALL: STAR[47:32] + 8. */
export function kernelStackSegment(selector: number): Segment {
  return flat(selector, 0, { type: 3, l: 0, db: 1 });
}

/** CS after SYSRET: RPL forced to 3. */
export function userCodeSegment(selector: number, long: boolean): Segment {
  return flat(selector | 3, 3, { type: 11, l: long ? 1 : 0, db: long ? 0 : 1 });
}

/** SS after SYSRET: STAR[63:48] + 8, RPL forced to 3. */
export function userStackSegment(selector: number): Segment {
  return flat(selector | 3, 3, { type: 3, l: 0, db: 1 });
}
