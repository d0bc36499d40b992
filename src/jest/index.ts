/** `vexit/jest`: boots kernels and guest programs inside jest tests. See docs/jest.md. */
export { ConsoleError, type ConsoleLog } from './console-log.js';
export { TestVm } from './test-vm.js';
export { vmTest, type Body, type VmTestOptions } from './vm-test.js';
