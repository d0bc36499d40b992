/** vexit as a library. */
export { VirtualMachine } from './machine/virtual-machine.js';
export type { VirtualMachineEvents, VmState, VmStatistics } from './machine/virtual-machine.js';
export type { SerialStreams } from './machine/port-streams.js';
export type { NetStatistics } from './devices/virtio/net/net-state.js';
export type { CommandOptions, VirtualMachineOptions } from './machine/config.js';
export { EXIT_STATUS } from './machine/exit-report.js';
export type { ExitReason, ExitReport } from './machine/exit-report.js';
export type { AgentChannel, AgentEvents, CommandExit } from './agent/agent-channel.js';
export type { BootProtocol } from './boot/boot-result.js';
export { connectAgent } from './machine/agent-access.js';
export type {
  AgentOptions,
  GuestAgent,
  GuestInfo,
  GuestMount,
  RunOptions,
  RunResult,
  ShutdownOptions,
} from './agent/guest-agent.js';
export type {
  CopyOptions,
  FileContent,
  GuestFile,
  GuestFileStat,
  PutOptions,
} from './agent/guest-files.js';
export type { ExecOptions, GuestExit, GuestProcess } from './agent/guest-process.js';
export type { VsockConnectOptions } from './machine/vsock/dial.js';
export type { VsockHost, VsockListenOptions } from './machine/vsock/vsock-host.js';
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

// VMs with a name and a process of their own, see docs/manage.md.
export { Vexit } from './manage/vexit.js';
export type { CreateVmOptions, EventOptions } from './manage/vexit.js';
export type { ManagedVm, VmInfo, VmUpdate } from './manage/managed-vm.js';
export type { DeviceUpdates, DiskUpdate, NetworkUpdate } from './manage/device-updates.js';
export type { DiskLimits } from './devices/virtio/block/disk-device.js';
export type { VmStats } from './manage/vm-stats.js';
export type { MemoryUsage, ThreadUsage } from './manage/process-usage.js';
export type { LogOptions } from './manage/console-log.js';
export type { VmEvent, VmEventType } from './manage/event-log.js';
export type {
  ProjectMember,
  VmConfig,
  VmExit,
  VmExitReason,
  VmRecord,
  VmStatus,
} from './manage/records.js';
export type { LimitChanges, LimitName, ResourceLimits } from './manage/resources/limits.js';
export type {
  Mechanism,
  ResourceReport,
  ResourceState,
} from './manage/resources/resource-control.js';
export type { RestartPolicy } from './manage/restart-policy.js';
export type { HealthCheck, HttpProbe } from './manage/health/health-check.js';
export type { Health, HealthStatus } from './manage/health/health-state.js';

// VMs that belong together, see docs/up.md.
export { ProjectError } from './manage/project/problems.js';
export type { Problem } from './manage/project/problems.js';
export type { DownOptions } from './manage/project/down.js';
export type { OnProjectProgress, ProjectProgress, ProjectStep } from './manage/project/progress.js';
export type { ReadOptions } from './manage/project/project.js';
export type { UpOptions, UpResult } from './manage/project/up.js';
export type { Action } from './manage/project/plan.js';

// Virtio devices of a VM, and what the host can do with them.
export type {
  BalloonSettings,
  ConsoleSettings,
  DeviceOptions,
  ModuleDisk,
  InterfaceSettings,
  LanNetSettings,
  TapNetSettings,
  NetSettings,
  UserNetSettings,
  PmemOptions,
  ShareSettings,
} from './machine/device-options.js';
export type { DiskCache, DiskOptions } from './block/disk-option.js';
export type { UserModule } from './machine/virtio/device-spec.js';
export type { BalloonControl } from './machine/virtio/balloon-control.js';
export type { BalloonStatistics } from './devices/virtio/balloon/balloon-stats.js';
export type { ConsoleControl } from './machine/virtio/console-control.js';
export type { DiskControl } from './machine/virtio/disk-control.js';
export type { BlockStatistics } from './devices/virtio/block/block-statistics.js';

// For virtio devices of your own, see docs/devices/virtio.md.
export { readLittleEndian, writeLittleEndian } from './devices/virtio/device.js';
export type {
  ConfigAccessSize,
  DeviceContext,
  FeatureRule,
  SharedMemoryRegion,
  VirtioDevice,
} from './devices/virtio/device.js';
export type { DescriptorChain } from './devices/virtio/queue/descriptor-chain.js';
export type { GuestRam } from './devices/virtio/queue/guest-ram.js';
export type { ReadableSegments, WritableSegments } from './devices/virtio/queue/segments.js';
export type { VirtQueue } from './devices/virtio/queue/virt-queue.js';
export type { SiteLog } from './devices/virtio/site-log.js';
export { TokenBucket } from './devices/virtio/token-bucket.js';
export type { RateLimit } from './devices/virtio/token-bucket.js';
export type { DeviceClass, DeviceSurroundings } from './machine/virtio/make-device.js';

// For blocks of your own, see docs/devices/block.md.
export { BlockError, SECTOR } from './block/backend.js';
export type { BlockBackend, BlockBackendHost } from './block/backend.js';
export type { BlockSegments } from './block/segments.js';
export { MemoryBackend } from './block/memory-backend.js';
export { simpleBackend } from './block/simple-backend.js';
export type { SimpleDisk } from './block/simple-backend.js';
export type { BackendFactory } from './machine/virtio/user-backend.js';

// For file systems of your own, see docs/devices/fs.md.
export { FileType, FsError, RenameFlag } from './fs/index.js';
export type {
  AttributeChanges,
  Attributes,
  Awaitable,
  Caller,
  DirectoryEntry,
  DirectoryWriter,
  Entry,
  FileLock,
  FileSystem,
  FileSystemStatistics,
  OpenFile,
} from './fs/index.js';
export type { FileSystemFactory } from './machine/virtio/make-backend.js';

// Networks, see docs/net.md.
export { parseInterface, type LanInterface, type TapInterface } from './net/interface-option.js';
export type { LanNetOptions } from './net/lan/lan-options.js';
export type { TapNetOptions } from './net/tap/tap-option.js';
export { parseNetOption, parsePublish } from './net/options.js';
export { parseAllowNet } from './net/policy/target.js';
export type { Publication, UserNetOptions } from './net/options.js';
export type { NetworkControl } from './machine/virtio/network-control.js';
export type { NetLimitOptions } from './devices/virtio/net/net-limits.js';
export type { NetTarget } from './net/policy/target.js';
export type { FlowRequest, LookupRequest, NetEvent, NetRequest, Verdict } from './net/events.js';
export type { Decide } from './net/policy/gate.js';

// What the types above are made of.
export type { GuestSource } from './guest/default-guest.js';
export type { Doorbell } from './bus/device.js';
export type { IoSegments } from './io/io-engine.js';
export type { SegmentMemory } from './block/segments.js';
export type { IoVectors } from './fs/io-vectors.js';
export type { BalloonStatName } from './devices/virtio/balloon/balloon-layout.js';
export type { NetRateLimit } from './devices/virtio/net/net-options.js';
export type { RamCursor, RamWindow } from './devices/virtio/queue/guest-ram.js';
export type { Filler } from './devices/virtio/queue/segments.js';
export type { NetProtocol, Reason } from './net/events.js';
