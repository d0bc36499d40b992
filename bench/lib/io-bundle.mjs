// What the I/O benchmark and tests of the engine in processes of their own bundle.
export { createIoEngine } from '../../src/io/index.ts';
export { native } from '../../src/kvm/native.ts';
