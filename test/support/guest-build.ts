/** Builds the guests of test/guests with the host's gcc, once per content. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

const GUESTS = path.resolve(__dirname, '../guests');
const OUT = path.join(GUESTS, 'out');

/** How one guest is made. */
interface Recipe {
  readonly sources: readonly string[];
  readonly bits: 16 | 32 | 64;
  /** Linked flat at this address; without it an ELF file by lib/guest.ld. */
  readonly flatAt?: number;
}

/** A guest behind the Linux 64-bit entry. */
const linux = (...sources: string[]): Recipe => ({
  sources: ['lib/start64.S', ...sources],
  bits: 64,
});

const RECIPES = {
  hello16: { sources: ['hello16.S'], bits: 16, flatAt: 0 },
  rom: { sources: ['rom.S'], bits: 16, flatAt: 0 },
  kludge: { sources: ['kludge.S'], bits: 32, flatAt: 0x100000 },
  multiboot: { sources: ['start-multiboot.S', 'multiboot.c'], bits: 32 },
  pvh: { sources: ['start-pvh.S', 'pvh.c'], bits: 64 },
  'boot-params': linux('boot-params.c'),
  control: linux('control.c'),
  ports: linux('ports.c'),
  mmio: linux('mmio.c'),
  interrupts: linux('interrupts.c'),
  smp: linux('smp.c', 'trampoline.S'),
  load: linux('load.c', 'trampoline.S'),
  processor: linux('processor.c', 'trampoline.S'),
  ring3: linux('ring3.c'),
  memory: linux('memory.c'),
  virtio: linux('virtio.c'),
  vsock: linux('vsock.c'),
  disk: linux('disk.c'),
  pmem: linux('pmem.c'),
  net: linux('net.c'),
  flood: linux('flood.c'),
  lan: linux('lan.c'),
} as const satisfies Record<string, Recipe>;

export type GuestName = keyof typeof RECIPES;

/** No instruction sets and no calls that a bare machine does not have. */
const CFLAGS = [
  ...['-O1', '-Wall', '-Wextra', '-Werror', '-Wno-main', '-ffreestanding', '-fno-pic', '-fno-pie'],
  ...['-fno-stack-protector', '-fcf-protection=none', '-fno-asynchronous-unwind-tables'],
  ...['-mgeneral-regs-only', '-mno-red-zone', '-fno-strict-aliasing'],
  // Address 0 and addresses that the compiler thinks have no object behind them are memory here.
  ...['-fno-delete-null-pointer-checks', '-Wno-array-bounds', '-fno-tree-loop-distribute-patterns'],
];

/** Runs a tool; its messages become the error. */
function run(tool: string, args: readonly string[]): void {
  try {
    execFileSync(tool, args, { cwd: GUESTS, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOENT') {
      throw new Error(`the test guests need ${tool}: install gcc and binutils`, { cause: error });
    }
    throw new Error(`${tool} ${args.join(' ')}\n${stderr ?? ''}`, { cause: error });
  }
}

function contentHash(recipe: Recipe): string {
  const hash = createHash('sha256').update(JSON.stringify([recipe, CFLAGS]));
  const shared = readdirSync(path.join(GUESTS, 'lib')).map((name) => `lib/${name}`);
  for (const file of [...recipe.sources, ...shared]) {
    hash.update(file).update(readFileSync(path.join(GUESTS, file)));
  }
  return hash.digest('hex').slice(0, 16);
}

function link(recipe: Recipe, objects: readonly string[], output: string): void {
  const emulation = recipe.bits === 64 ? 'elf_x86_64' : 'elf_i386';
  const place =
    recipe.flatAt !== undefined
      ? ['-Ttext', `0x${recipe.flatAt.toString(16)}`, '-e', '_start', '--oformat', 'binary']
      : ['-T', 'lib/guest.ld', '-z', 'max-page-size=4096'];
  run('ld', [
    '-m',
    emulation,
    '-nostdlib',
    '-static',
    '--no-warn-rwx-segments',
    ...place,
    '-o',
    output,
    ...objects,
  ]);
}

/**
 * The path of a built guest.
 * @throws Error that says what is missing or what the compiler said
 */
export function buildGuest(name: GuestName): string {
  const recipe: Recipe = RECIPES[name];
  const output = path.join(OUT, `${name}-${contentHash(recipe)}`);
  if (existsSync(output)) return output;
  const work = path.join(OUT, `${name}-${process.pid}`);
  mkdirSync(work, { recursive: true });
  try {
    const objects = recipe.sources.map((source, i) => {
      const object = path.join(work, `${i}.o`);
      // 16-bit code says so itself (.code16); its object files are 32-bit ones.
      const machine = recipe.bits === 64 ? '-m64' : '-m32';
      run('gcc', [machine, ...CFLAGS, '-Ilib', '-c', source, '-o', object]);
      return object;
    });
    link(recipe, objects, path.join(work, 'guest'));
    renameSync(path.join(work, 'guest'), output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return output;
}
