/** Where XSAVE keeps the components beyond x87 and SSE: CPUID leaf 0xd (SDM volume 1, 13.2). */
import type { CpuidEntry } from '../../kvm/cpuid.js';

/** A user state component of the standard format. */
export interface XsaveComponent {
  /** Its bit number in XCR0 and XSTATE_BV. */
  readonly number: number;
  readonly offset: number;
  readonly size: number;
}

const XSTATE_LEAF = 0xd;
/** XCR0 has 63 components; sub-leaves 0 and 1 describe the whole. */
const FIRST = 2;
const LAST = 62;
/** ECX bit 0: supervisor state, which XSAVE does not save. */
const SUPERVISOR = 1;

/**
 * The components that KVM knows.
 * @param areaSize bytes of KVM's image; what lies beyond it is left out
 */
export function xsaveComponents(
  cpuid: readonly CpuidEntry[],
  areaSize: number,
): readonly XsaveComponent[] {
  return cpuid
    .filter(
      (entry) =>
        entry.function === XSTATE_LEAF &&
        entry.index >= FIRST &&
        entry.index <= LAST &&
        (entry.ecx & SUPERVISOR) === 0 &&
        entry.eax !== 0 &&
        entry.ebx + entry.eax <= areaSize,
    )
    .map(({ index, eax, ebx }) => ({ number: index, offset: ebx, size: eax }));
}
