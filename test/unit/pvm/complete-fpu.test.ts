/** FXSAVE and XSAVE families on a fake vCPU. */
import { Gpr } from '../../../src/kvm/registers.js';
import { complete } from '../../../src/vcpu/pvm/complete.js';
import { decode } from '../../../src/vcpu/pvm/decoder.js';
import { Instruction } from '../../../src/vcpu/pvm/instruction.js';
import { FakeCpu, MEMORY } from './fake-cpu.js';

const GP = [{ vector: 13, errorCode: 0 }];
const MXCSR = 24;
const XMM0 = 160;
const XSTATE_BV = 512;
const XCOMP_BV = 520;
const YMM0 = 576;

let cpu: FakeCpu;
let state: DataView;
let memory: DataView;

function run(hex: string, mask = 7n): boolean {
  const insn = new Instruction();
  const bytes = Buffer.from(hex, 'hex');
  expect(decode(insn, bytes, bytes.length, 64)).toBe(true);
  cpu.regs.set(Gpr.Rax, mask);
  cpu.regs.set(Gpr.Rdx, 0n);
  const done = complete(cpu, insn);
  state = new DataView(cpu.xsave.buffer);
  return done;
}

beforeEach(() => {
  cpu = new FakeCpu();
  cpu.regs.set(Gpr.Rsi, MEMORY);
  state = new DataView(cpu.xsave.buffer);
  memory = new DataView(cpu.memory.buffer);
  state.setUint16(0, 0x37f, true);
  state.setUint32(MXCSR, 0x1f80, true);
  state.setUint32(MXCSR + 4, 0xffff, true);
  state.setBigUint64(XMM0, 0x1111n, true);
  state.setBigUint64(YMM0, 0x2222n, true);
  state.setBigUint64(XSTATE_BV, 7n, true);
});

test('XSAVE writes the requested components and their bits', () => {
  memory.setBigUint64(XSTATE_BV, 5n, true);
  expect(run('0fae26', 2n)).toBe(true);
  expect(memory.getBigUint64(XMM0, true)).toBe(0x1111n);
  expect(memory.getUint32(MXCSR, true)).toBe(0x1f80);
  expect(memory.getUint16(0, true)).toBe(0);
  expect(memory.getBigUint64(YMM0, true)).toBe(0n);
  expect(memory.getBigUint64(XSTATE_BV, true)).toBe(7n);
});

test('XRSTOR loads what is present, and leaves what is not asked for', () => {
  memory.setUint32(MXCSR, 0x1fa0, true);
  memory.setBigUint64(XMM0, 0x3333n, true);
  memory.setBigUint64(YMM0, 0x4444n, true);
  memory.setBigUint64(XSTATE_BV, 6n, true);
  expect(run('0fae2e', 2n)).toBe(true);
  expect(state.getBigUint64(XMM0, true)).toBe(0x3333n);
  expect(state.getBigUint64(YMM0, true)).toBe(0x2222n);
  expect(state.getUint32(MXCSR, true)).toBe(0x1fa0);
  expect(state.getBigUint64(XSTATE_BV, true)).toBe(7n);
});

test('XRSTOR puts absent components into their initial state, MXCSR excepted', () => {
  memory.setUint32(MXCSR, 0x1fa0, true);
  expect(run('0fae2e')).toBe(true);
  expect(state.getBigUint64(XSTATE_BV, true)).toBe(2n);
  expect(state.getBigUint64(XMM0, true)).toBe(0n);
  expect(state.getUint32(MXCSR, true)).toBe(0x1fa0);
});

test('components lie where the processor has them', () => {
  const opmask = 832;
  const zmm = 1408;
  cpu.xcr0 = 0xe7n;
  cpu.xsaveComponents = [
    { number: 2, offset: YMM0, size: 256 },
    { number: 5, offset: opmask, size: 64 },
    { number: 6, offset: 896, size: 512 },
    { number: 7, offset: zmm, size: 1024 },
  ];
  state.setBigUint64(opmask, 0x6666n, true);
  state.setBigUint64(zmm + 1016, 0x7777n, true);
  state.setBigUint64(XSTATE_BV, 0xa7n, true);
  expect(run('0fae26', 0xffn)).toBe(true);
  expect(memory.getBigUint64(opmask, true)).toBe(0x6666n);
  expect(memory.getBigUint64(zmm + 1016, true)).toBe(0x7777n);
  expect(memory.getBigUint64(XSTATE_BV, true)).toBe(0xa7n);
  memory.setBigUint64(opmask, 0x8888n, true);
  memory.setBigUint64(zmm, 0x9999n, true);
  expect(run('0fae2e', 0xa0n)).toBe(true);
  expect(state.getBigUint64(opmask, true)).toBe(0x8888n);
  expect(state.getBigUint64(zmm, true)).toBe(0x9999n);
  expect(state.getBigUint64(XSTATE_BV, true)).toBe(0xa7n);
});

test('a component that KVM has no place for is not completed', () => {
  cpu.xcr0 = 0x207n;
  expect(run('0fae26', 0x200n)).toBe(false);
  memory.setBigUint64(XSTATE_BV, 0x200n, true);
  expect(run('0fae2e', 0x200n)).toBe(false);
});

test('XRSTOR faults on what the processor refuses', () => {
  memory.setBigUint64(XSTATE_BV, 8n, true);
  expect(run('0fae2e')).toBe(true);
  memory.setBigUint64(XSTATE_BV, 0n, true);
  memory.setUint32(MXCSR, 0x10000, true);
  expect(run('0fae2e')).toBe(true);
  cpu.regs.set(Gpr.Rsi, MEMORY + 16n);
  expect(run('0fae2e')).toBe(true);
  expect(cpu.events).toEqual([...GP, ...GP, ...GP]);
});

test('the compacted format is not completed', () => {
  memory.setBigUint64(XCOMP_BV, 1n << 63n, true);
  expect(run('0fae2e')).toBe(false);
  expect(run('0fc726')).toBe(false);
  expect(run('0fc71e')).toBe(false);
});

test('FXSAVE and FXRSTOR leave the bytes software owns', () => {
  cpu.memory.fill(0xaa);
  expect(run('0fae06')).toBe(true);
  expect(memory.getBigUint64(XMM0, true)).toBe(0x1111n);
  expect(cpu.memory.subarray(416, 512).every((byte) => byte === 0xaa)).toBe(true);
  memory.setBigUint64(XMM0, 0x5555n, true);
  expect(run('0fae0e')).toBe(true);
  expect(state.getBigUint64(XMM0, true)).toBe(0x5555n);
  expect(state.getBigUint64(YMM0, true)).toBe(0x2222n);
});

test('MXCSR, x87 control and tag words', () => {
  memory.setUint32(0, 0x1fbf, true);
  expect(run('0fae16')).toBe(true);
  expect(state.getUint32(MXCSR, true)).toBe(0x1fbf);
  expect(run('0fae1e')).toBe(true);
  memory.setUint16(0, 0x27f, true);
  expect(run('d92e')).toBe(true);
  expect(state.getUint16(0, true)).toBe(0x27f);
  state.setUint16(2, 0xb8ff, true);
  expect(run('dbe2')).toBe(true);
  expect(run('dfe0')).toBe(true);
  expect(cpu.regs.get(Gpr.Rax) & 0xffffn).toBe(0x3800n);
  state.setUint8(4, 0xff);
  expect(run('0f77')).toBe(true);
  expect(state.getUint8(4)).toBe(0);
  memory.setUint32(0, 0x10000, true);
  expect(run('0fae16')).toBe(true);
  expect(cpu.events).toEqual(GP);
});
