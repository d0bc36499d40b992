/** System calls, page faults and INT n of a guest program on a kvm-pvm host. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CODE, PvmVm, pvmAvailable } from './pvm-vm.js';

const FMASK = CODE + 0x1830;
const HANDLERS = CODE + 0x1838;
const COUNTS = CODE + 0x1800;

function assemble(): Buffer {
  const dir = mkdtempSync(path.join(tmpdir(), 'vexit-pvm-'));
  try {
    const object = path.join(dir, 'guest.o');
    const binary = path.join(dir, 'guest.bin');
    execFileSync('as', ['-o', object, path.join(__dirname, 'pvm-entry.S')]);
    const linked = path.join(dir, 'guest.elf');
    execFileSync('ld', ['-Ttext', `0x${CODE.toString(16)}`, '-e', '0', '-o', linked, object]);
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', linked, binary]);
    return readFileSync(binary);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

(pvmAvailable() ? describe : describe.skip)('entries into a guest kernel', () => {
  let vm: PvmVm;
  beforeEach(() => {
    vm = new PvmVm();
    vm.memory.write(CODE, assemble());
    const handler = (i: number): bigint => vm.memory.getUint64(HANDLERS + 8 * i);
    for (const [idt, pageFault] of [
      [0x12000, handler(0)],
      [0x13000, handler(1)],
    ] as const) {
      for (let vector = 0; vector < 256; vector++) vm.setGate(idt, vector, handler(5));
      vm.setGate(idt, 6, handler(2));
      vm.setGate(idt, 13, handler(4));
      vm.setGate(idt, 14, pageFault);
      vm.setGate(idt, 0x80, handler(3), 3);
    }
  });
  afterEach(() => vm.close());

  test.each([
    ['masks IF', 0x47700n],
    ['leaves IF', 0x40000n],
  ])('arrive at their own handlers when FMASK %s', (_name, fmask) => {
    vm.memory.setUint64(FMASK, fmask);
    vm.start(0);
    expect(vm.run()).toBe(0xaa);
    const counts = Array.from({ length: 6 }, (_, i) => Number(vm.memory.getUint64(COUNTS + 8 * i)));
    // System calls; page faults of the first and second IDT; #UD; INT 0x80; #GP.
    expect(counts).toEqual([42, 3, 20, 1, 1, 1]);
    expect(vm.completions.counters).toMatchObject({
      systemCalls: 42,
      pageFaults: 23,
      softwareInterrupts: 2,
      // The first instruction of the second handler is a PUSH.
      singleSteps: 20 + 1,
    });
  });
});
