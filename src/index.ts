/** vexit as a library. */
export { VirtualMachine } from './machine/virtual-machine.js';
export type { SerialStreams, VirtualMachineEvents, VmState } from './machine/virtual-machine.js';
export type { CommandOptions, VirtualMachineOptions } from './machine/config.js';
export type {
  BalloonSettings,
  ConsoleSettings,
  DeviceOptions,
  ModuleDisk,
  PmemOptions,
} from './machine/device-options.js';
export type { BalloonControl } from './machine/virtio/balloon-control.js';
export type { ConsoleControl } from './machine/virtio/console-control.js';
export type { DiskControl } from './machine/virtio/disk-control.js';
export type { UserModule } from './machine/virtio/device-spec.js';
export type { DiskCache, DiskOptions } from './block/disk-option.js';
export type { BalloonStatistics } from './devices/virtio/balloon/balloon-stats.js';
export type { BlockStatistics } from './devices/virtio/block/block-statistics.js';
export { EXIT_STATUS } from './machine/exit-report.js';
export type { ExitReason, ExitReport } from './machine/exit-report.js';
export type { AgentChannel, AgentEvents, CommandExit } from './agent/agent-channel.js';
export type { BootProtocol } from './boot/boot-result.js';
export type {
  VsockConnectOptions,
  VsockHost,
  VsockListenOptions,
} from './machine/vsock/vsock-host.js';
export type { VsockSettings } from './machine/vsock/vsock-option.js';
export { VexitError } from './util/errors.js';
export type { ErrorCode } from './util/errors.js';
export { createDisk } from './images/create.js';
export type { CreateDiskOptions } from './images/create.js';
export { diskInfo } from './images/info.js';
export type { DiskInfo } from './images/info.js';
export { resizeDisk } from './images/resize.js';
export type { ResizeDiskOptions } from './images/resize.js';
export { createRootDisk, ensureRootDisk } from './images/root-disk.js';
export type { CreateRootDiskOptions, RootDiskKind } from './images/root-disk.js';
export type { Progress, ProgressEvent } from './guest/progress.js';
export { checkHost } from './machine/host-check.js';
export type { Check, CheckStatus } from './machine/host-check.js';
