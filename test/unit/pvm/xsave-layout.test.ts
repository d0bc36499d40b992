import { xsaveComponents } from '../../../src/vcpu/pvm/index.js';

const entry = (fn: number, index: number, size: number, offset: number, ecx = 0) => ({
  ...{ function: fn, index, flags: 1 },
  ...{ eax: size, ebx: offset, ecx, edx: 0 },
});

test('user components that fit the image of KVM', () => {
  const cpuid = [
    entry(0xd, 0, 0xe7, 2432, 2432),
    entry(0xd, 1, 0xf, 2432),
    entry(0xd, 2, 256, 576),
    entry(0xd, 3, 0, 0),
    entry(0xd, 8, 128, 0, 1),
    entry(0xd, 9, 8, 2432),
    entry(0xd, 18, 8192, 2816),
    entry(0xd, 63, 8, 1024),
    entry(0x12, 2, 64, 64),
  ];
  expect(xsaveComponents(cpuid, 4096)).toEqual([
    { number: 2, offset: 576, size: 256 },
    { number: 9, offset: 2432, size: 8 },
  ]);
});
