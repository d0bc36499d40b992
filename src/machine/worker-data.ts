/** What passes between the main thread and a vCPU's worker. */
import type { BoardDescriptor } from './board.js';
import type { GuestMemoryDescriptor } from '../memory/guest-memory.js';
import type { ControlDescriptor } from '../vcpu/control-block.js';
import type { XsaveComponent } from '../vcpu/pvm/index.js';

/** Everything a worker needs; plain data and shared memory. */
export interface VcpuWorkerData {
  readonly vcpuId: number;
  readonly index: number;
  readonly memory: GuestMemoryDescriptor;
  readonly control: ControlDescriptor;
  readonly board: BoardDescriptor;
  /** Where this host needs the kvm-pvm completions: what XSAVE saves. */
  readonly pvm: readonly XsaveComponent[] | undefined;
}

/** What a worker tells the main thread. */
export type VcpuMessage =
  | { readonly type: 'fatal'; readonly message: string; readonly dump: string }
  | { readonly type: 'log'; readonly message: string };
