/** vexit as a library. */
export { VirtualMachine } from './machine/virtual-machine.js';
export type { SerialStreams, VirtualMachineEvents, VmState } from './machine/virtual-machine.js';
export type { CommandOptions, VirtualMachineOptions } from './machine/config.js';
export { EXIT_STATUS } from './machine/exit-report.js';
export type { ExitReason, ExitReport } from './machine/exit-report.js';
export type { AgentChannel, AgentEvents, CommandExit } from './agent/agent-channel.js';
export type { BootProtocol } from './boot/boot-result.js';
export { VexitError } from './util/errors.js';
export type { ErrorCode } from './util/errors.js';
export { checkHost } from './machine/host-check.js';
export type { Check, CheckStatus } from './machine/host-check.js';
