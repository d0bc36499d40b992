/** What the I/O benchmark bundles. */
export { createIoEngine } from '../../src/io/index.js';
export { native } from '../../src/kvm/native.js';
