/** Completed instructions at CPL 0 against the processor itself, which runs CPL 3 on this host. */
import { CODE, PvmVm, STACK, pvmAvailable } from './pvm-vm.js';
import { Gpr } from '../../src/kvm/registers.js';

/** Bytes as `as` encodes them; the memory operand is always (%rsp). */
const INSTRUCTIONS: readonly (readonly [string, string])[] = [
  ['fwait', '9b'],
  ['popcnt %rax,%rbx', 'f3480fb8d8'],
  ['popcnt %eax,%r9d', 'f3440fb8c8'],
  ['popcnt %ax,%bx', '66f30fb8d8'],
  ['popcnt (%rsp),%rbx', 'f3480fb81c24'],
  ['popcnt 8(%rsp,%rcx,4),%ebx', 'f30fb85c8c08'],
  ['crc32b %al,%ebx', 'f20f38f0d8'],
  ['crc32b %ah,%ebx', 'f20f38f0dc'],
  ['crc32b %sil,%ebx', 'f2400f38f0de'],
  ['crc32w %ax,%ebx', '66f20f38f1d8'],
  ['crc32q (%rsp),%rbx', 'f2480f38f11c24'],
  ['adcx %rax,%rbx', '66480f38f6d8'],
  ['adcx %eax,%ebx', '660f38f6d8'],
  ['adox %rax,%rbx', 'f3480f38f6d8'],
  ['adox (%rsp),%ebx', 'f30f38f61c24'],
  ['lock cmpxchg16b (%rsp)', 'f0480fc70c24'],
  ['lock cmpxchg16b 16(%rsp)', 'f0480fc74c2410'],
  ['rdfsbase %rax', 'f3480faec0'],
  ['wrgsbase %rcx; rdgsbase %rax', 'f3480faed9f3480faec8'],
  ['clwb (%rsp)', '660fae3424'],
  ['ldmxcsr 32(%rsp); stmxcsr (%rsp)', '0fae5424200fae1c24'],
  ['fninit; fldcw 36(%rsp); fnstcw (%rsp)', 'dbe3d96c2424d93c24'],
  ['fninit; fnstsw %ax', 'dbe3dfe0'],
  ['fnclex; fnstsw %ax', 'dbe2dfe0'],
];

const MEMORY = 64;
const ZEROES = new Uint8Array(MEMORY);

/** A small generator with a seed, so that a failure can be repeated. */
function* randoms(seed: number): Generator<bigint> {
  for (let state = BigInt(seed) * 0x9e3779b97f4a7c15n; ;) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    yield state ^ (state >> 29n);
  }
}

(pvmAvailable() ? describe : describe.skip)('a completed instruction', () => {
  let vm: PvmVm;
  beforeAll(() => {
    vm = new PvmVm();
    // User code may not run in the supervisor page of the entry tests.
    vm.memory.setUint64(0x4000 + 8 * (CODE >> 12), BigInt(CODE) | 7n);
  });
  afterAll(() => vm.close());

  interface Outcome {
    registers: string[];
    memory: Uint8Array;
  }

  function execute(code: Buffer, cpl: 0 | 3, seed: number): Outcome {
    const { vcpu, memory } = vm;
    const random = randoms(seed);
    const next = (): bigint => random.next().value as bigint;
    vcpu.readRegs();
    for (let i = 0; i < 16; i++) vcpu.regs.set(i, seed % 4 === 0 && i % 2 === 0 ? 0n : next());
    vcpu.regs.set(Gpr.Rcx, 0x4n);
    vcpu.regs.set(Gpr.Rflags, next());
    memory.write(STACK, ZEROES);
    if (seed % 3 !== 0) memory.setUint64(STACK, next());
    // A third of the exchanges finds what it expects.
    memory.setUint64(STACK + 16, vcpu.regs.get(Gpr.Rax));
    memory.setUint64(STACK + 24, seed % 3 === 1 ? next() : vcpu.regs.get(Gpr.Rdx));
    memory.setUint32(STACK + 32, 0x1f80 | (seed & 0x3f));
    memory.setUint16(STACK + 36, 0x37f);
    memory.write(CODE, Buffer.concat([code, Buffer.from('e680', 'hex')]));
    vm.start(cpl);
    const end = vm.run();
    expect(typeof end === 'string' ? end : '').toBe('');
    vcpu.readRegs();
    // Native code at CPL 3 does not have the guest's IOPL.
    vcpu.regs.set(Gpr.Rflags, vcpu.regs.get(Gpr.Rflags) & ~0x3000n);
    const registers = Array.from(vcpu.regs.values, (value) => value.toString(16));
    return { registers, memory: memory.read(STACK, MEMORY) };
  }

  test.each(INSTRUCTIONS)('%s', (_text, hex) => {
    const code = Buffer.from(hex, 'hex');
    for (let seed = 1; seed <= 12; seed++) {
      expect({ seed, ...execute(code, 0, seed) }).toEqual({ seed, ...execute(code, 3, seed) });
    }
  });

  test('is followed by the single-step trap that RFLAGS.TF asks for', () => {
    const { vcpu, memory } = vm;
    const handler = BigInt(CODE) + 0x100n;
    vm.setGate(0x12000, 1, handler);
    // pushf; orl $0x100,(%rsp); popf; fwait; nop. The handler: mov %dr6,%rax; mov (%rsp),%rbx; out
    memory.write(CODE, Buffer.from('9c810c24000100009d9b90', 'hex'));
    memory.write(CODE + 0x100, Buffer.from('0f21f0488b1c24e680', 'hex'));
    vcpu.readRegs();
    const sregs = vcpu.readSregs();
    sregs.setTable('idt', 0x12000n, 4095);
    vcpu.writeSregs();
    vm.start(0);
    expect(typeof vm.run()).toBe('number');
    vcpu.readRegs();
    expect(vcpu.regs.get(Gpr.Rbx)).toBe(BigInt(CODE) + 10n);
    expect(vcpu.regs.get(Gpr.Rax) & 0x4000n).toBe(0x4000n);
  });

  test('keeps the vector registers over XSAVE and XRSTOR', () => {
    // xsave (%rsp); xrstor (%rsp); stmxcsr (%rsp)
    const { vcpu, memory } = vm;
    memory.fill(STACK, 0x400);
    memory.write(CODE, Buffer.from('0fae2424' + '0fae2c24' + '0fae1c24' + 'e680', 'hex'));
    vcpu.readRegs();
    vcpu.regs.set(Gpr.Rax, 3n);
    vcpu.regs.set(Gpr.Rdx, 0n);
    vm.start(0);
    expect(typeof vm.run()).toBe('number');
    // XSTATE_BV names at most x87 and SSE, and STMXCSR has put MXCSR over the first word.
    expect(memory.getUint64(STACK + 512) & ~3n).toBe(0n);
    expect(memory.getUint32(STACK) & 0xffff0000).toBe(0);
  });
});
