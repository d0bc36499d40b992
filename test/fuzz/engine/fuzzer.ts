/**
 * The fuzzing driver: makes cases from seeds and a corpus, runs them against a target and looks at
 * what they do. With coverage, a case that does something new becomes a parent of others.
 */
import { Coverage } from './blocks.js';
import { mutate } from './mutate.js';
import { Random } from './random.js';
import type { FuzzTarget, OpenTarget } from './target.js';

const DEFAULT_WORK = 1_000_000;
/** A case that runs more blocks than this is no parent of others for their number alone. */
const SLOW_WORK = 100_000;
/** Parents that are kept in memory; further ones replace some of them. */
const MOST_PARENTS = 2000;
const MINIMIZE_RUNS = 2000;
const MEMORY_SAMPLES = 10;

export interface FuzzOptions {
  readonly cases: number;
  readonly seed: number;
  readonly corpus: readonly Uint8Array[];
  /** Called with each case before it runs. */
  readonly before?: (bytes: Uint8Array) => void;
  /** Called now and then; true ends the run. */
  readonly progress?: (report: FuzzReport) => boolean;
}

export interface FuzzFailure {
  readonly what: string;
  readonly stack: string;
  /** Number of the case with this seed. */
  readonly number: number;
  readonly bytes: Uint8Array;
  /** A smaller case that fails alike in a fresh target; undefined when none does. */
  minimized: Uint8Array | undefined;
}

export interface FuzzReport {
  cases: number;
  /** Milliseconds of processor time: other programs do not count. */
  time: number;
  covered: number;
  blocks: number;
  /** The most blocks that a case has run. */
  mostWork: number;
  parents: number;
  /** Bytes that the heap grew by after the first tenth; undefined without --expose-gc. */
  grown: number | undefined;
  failure: FuzzFailure | undefined;
}

function memoryInUse(): number | undefined {
  if (globalThis.gc === undefined) return undefined;
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What went wrong, in one line and without what differs from case to case. */
function summary(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.split('\n')[0]!.replace(/\d+/g, 'N');
}

export class Fuzzer {
  readonly coverage = new Coverage();
  readonly parents: Uint8Array[] = [];
  private readonly random: Random;
  private parentBytes = 0;

  constructor(
    readonly target: FuzzTarget,
    readonly options: FuzzOptions,
  ) {
    this.random = new Random(options.seed);
  }

  /** Runs seeds and corpus, then mutations of them, up to the number of cases. */
  async run(): Promise<FuzzReport> {
    const { target, options, coverage } = this;
    const open = await target.open();
    const begun = process.cpuUsage().user;
    const time = (): number => (process.cpuUsage().user - begun) / 1000;
    const report: FuzzReport = {
      cases: 0,
      time: 0,
      covered: 0,
      blocks: coverage.total,
      mostWork: 0,
      parents: 0,
      grown: undefined,
      failure: undefined,
    };
    const kept = [...target.seeds, ...options.corpus];
    const sampleEvery = Math.ceil(options.cases / MEMORY_SAMPLES);
    let first: number | undefined;
    coverage.skip();
    while (report.cases < Math.max(options.cases, kept.length)) {
      const given = kept[report.cases];
      const bytes = given ?? this.make();
      report.failure = await this.runCase(open, bytes, report, given !== undefined);
      report.cases++;
      if (report.failure !== undefined) break;
      if (report.cases % sampleEvery === 0) {
        const now = memoryInUse();
        if (now !== undefined) {
          // The parents are the fuzzer's, and grow.
          const own = now - this.parentBytes;
          first ??= own;
          report.grown = own - first;
        }
      }
      if (report.cases % 1024 === 0) {
        report.time = time();
        if (options.progress?.(report) === true) break;
        // Timers and I/O of what is fuzzed, and of the watchdog.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    report.time = time();
    await open.close?.();
    if (report.failure !== undefined) await this.minimize(report.failure);
    return report;
  }

  private make(): Uint8Array {
    const { target, random, parents } = this;
    // Half of the parents are among the latest: what is new leads to what is new.
    const late = random.below(2) === 0 ? Math.max(0, parents.length - 64) : 0;
    const parent = parents[late + random.below(parents.length - late)]!;
    const other = random.pick(parents);
    const bytes = mutate(parent, other, random, target);
    return target.repair !== undefined && random.below(8) > 0 ? target.repair(bytes) : bytes;
  }

  private async runCase(
    open: OpenTarget,
    bytes: Uint8Array,
    report: FuzzReport,
    isKept: boolean,
  ): Promise<FuzzFailure | undefined> {
    const { coverage, target } = this;
    this.options.before?.(bytes);
    try {
      const later = open.run(bytes);
      if (later !== undefined) await later;
    } catch (error) {
      return this.failure(error, bytes, report.cases);
    }
    const { work, newBlocks, newCounts } = coverage.take();
    report.covered = coverage.covered;
    report.mostWork = Math.max(report.mostWork, work);
    if (work > (target.workLimit ?? DEFAULT_WORK)) {
      return this.failure(new Error(`a case ran ${work} blocks`), bytes, report.cases);
    }
    const isNew = newBlocks > 0 || (newCounts > 0 && work < SLOW_WORK);
    if (isKept || isNew) this.keep(bytes);
    report.parents = this.parents.length;
    return undefined;
  }

  private keep(bytes: Uint8Array): void {
    const { parents } = this;
    this.parentBytes += bytes.length;
    if (parents.length < MOST_PARENTS) {
      parents.push(bytes);
      return;
    }
    const victim = this.random.below(MOST_PARENTS / 2);
    this.parentBytes -= parents[victim]!.length;
    parents.splice(victim, 1);
    parents.push(bytes);
  }

  private failure(error: unknown, bytes: Uint8Array, number: number): FuzzFailure {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { what: summary(error), stack, number, bytes, minimized: undefined };
  }

  /** What a case does in a fresh target: the failure's summary, or undefined. */
  private async outcome(bytes: Uint8Array): Promise<string | undefined> {
    this.options.before?.(bytes);
    const open = await this.target.open();
    this.coverage.skip();
    try {
      await open.run(bytes);
      const { work } = this.coverage.take();
      if (work > (this.target.workLimit ?? DEFAULT_WORK)) return 'Error: a case ran N blocks';
      return undefined;
    } catch (error) {
      return summary(error);
    } finally {
      await open.close?.();
    }
  }

  /** Takes pieces away, then zeroes bytes, as long as it fails alike. */
  private async minimize(failure: FuzzFailure): Promise<void> {
    let best = failure.bytes;
    if ((await this.outcome(best)) !== failure.what) return;
    let runs = MINIMIZE_RUNS;
    const fails = async (bytes: Uint8Array): Promise<boolean> =>
      runs-- > 0 && (await this.outcome(bytes)) === failure.what;
    for (let size = best.length; size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < best.length;) {
        const shorter = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
        if (await fails(shorter)) best = shorter;
        else at += size;
      }
    }
    for (let at = 0; at < best.length; at++) {
      if (best[at] === 0) continue;
      const zeroed = best.slice();
      zeroed[at] = 0;
      if (await fails(zeroed)) best = zeroed;
    }
    failure.minimized = best;
  }

  /** The smallest cases that together run every block that the parents run. */
  async distill(mostBytes: number): Promise<Uint8Array[]> {
    const candidates = this.parents
      .filter(({ length }) => length > 0)
      .sort((a, b) => a.length - b.length);
    const known = new Set<number>();
    const chosen: Uint8Array[] = [];
    let total = 0;
    const open = await this.target.open();
    this.coverage.skip();
    for (const bytes of candidates) {
      await open.run(bytes);
      const blocks = this.coverage.takeBlocks().filter((block) => !known.has(block));
      if (blocks.length === 0 || total + bytes.length > mostBytes) continue;
      for (const block of blocks) known.add(block);
      chosen.push(bytes);
      total += bytes.length;
    }
    await open.close?.();
    return chosen;
  }
}
