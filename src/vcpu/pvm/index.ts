/** Support for hosts whose KVM is kvm-pvm; inactive elsewhere. See docs/kvm-pvm.md. */
export { PvmCompletions } from './completions.js';
export type { PvmCounters } from './completions.js';
export { adjustCpuid, detectPvm, enablePvmMsrExits, PVM_CPUID_CLEAR } from './host.js';
export { PVM_BUILT_GUEST_CMDLINE, PVM_CMDLINE } from './host.js';
export { xsaveComponents } from './xsave-layout.js';
export type { XsaveComponent } from './xsave-layout.js';
export type { CpuidClear, CpuidRegisters } from './host.js';
