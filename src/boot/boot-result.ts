/** What a boot protocol leaves behind for the vCPU room. */

/** How the guest was booted. */
export type BootProtocol = 'linux' | 'pvh' | 'multiboot' | 'firmware' | 'flat';

/** Mode the boot processor starts in. */
export type CpuMode =
  /** 16-bit; segment bases follow from the selectors. */
  | 'real'
  /** The architectural reset state: CS base 0xffff0000, IP 0xfff0. */
  | 'reset'
  /** 32-bit flat segments, paging off. */
  | 'protected'
  /** 64-bit, identity page tables of the first 4 GiB at PAGE_TABLE_ADDRESS. */
  | 'long';

/** State of the boot processor at its first instruction. Registers not named are 0. */
export interface InitialCpuState {
  readonly mode: CpuMode;
  readonly rip: number;
  readonly rsp?: number;
  readonly rax?: number;
  readonly rbx?: number;
  readonly rsi?: number;
  /** Real mode: selector of CS (base is selector * 16). */
  readonly cs?: number;
}

/** A kernel in guest memory, ready to run. */
export interface BootResult {
  readonly protocol: BootProtocol;
  /** One word more for people: "bzImage", "ELF vmlinux", ... */
  readonly format: string;
  readonly cpu: InitialCpuState;
  /** Set for firmware: the ROM that ends at 4 GiB, to be mapped read-only by the machine. */
  readonly rom?: Uint8Array;
  /** What the user should know: one line each. */
  readonly warnings?: readonly string[];
}
