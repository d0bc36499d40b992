/** Runs a test guest with a watchdog and collects what it says. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { VirtualMachine, type ExitReport, type VirtualMachineOptions } from 'vexit';
import { buildGuest, type GuestName } from './guest-build';

const WATCHDOG_MS = 60_000;

/** What a guest did until its end. */
export interface GuestResult {
  readonly report: ExitReport;
  readonly serial: string;
  readonly debugConsole: string;
  readonly firmwareLog: string;
  readonly reboots: number;
  /** Values of the "name=value" lines on the console, in order. */
  readonly values: (name: string) => string[];
}

class Collector {
  private chunks: Buffer[] = [];
  constructor(stream: Readable) {
    stream.on('data', (bytes: Buffer) => this.chunks.push(bytes));
  }
  get bytes(): Buffer {
    const all = Buffer.concat(this.chunks);
    this.chunks = [all];
    return all;
  }
  get text(): string {
    return this.bytes.toString('latin1');
  }
}

/** Waits until the condition holds. */
export async function until(what: string, holds: () => boolean, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(5);
  }
}

/** A running guest. `await using` stops it whatever happens. */
export class Guest {
  reboots = 0;
  private readonly serialOut: Collector;
  private readonly debugOut: Collector;
  private readonly firmwareOut: Collector;
  private readonly watchdog: NodeJS.Timeout;
  private timedOut = false;

  private constructor(
    readonly vm: VirtualMachine,
    watchdogMs: number,
  ) {
    this.serialOut = new Collector(vm.serial.output);
    this.debugOut = new Collector(vm.debugConsole);
    this.firmwareOut = new Collector(vm.firmwareLog);
    vm.on('reboot', () => {
      this.reboots++;
    });
    this.watchdog = setTimeout(() => {
      this.timedOut = true;
      void vm.stop();
    }, watchdogMs);
  }

  /** Creates the VM and collects from it, without starting it. */
  static async create(
    name: GuestName,
    options: VirtualMachineOptions = {},
    watchdogMs = WATCHDOG_MS,
  ): Promise<Guest> {
    const image = buildGuest(name);
    const source = options.firmware === undefined ? { kernel: image } : { firmware: image };
    const vm = await VirtualMachine.create({ memory: '16M', ...options, ...source });
    return new Guest(vm, watchdogMs);
  }

  static async start(
    name: GuestName,
    options: VirtualMachineOptions = {},
    watchdogMs = WATCHDOG_MS,
  ): Promise<Guest> {
    const guest = await Guest.create(name, options, watchdogMs);
    await guest.vm.start();
    return guest;
  }

  get serial(): string {
    return this.serialOut.text;
  }
  get serialBytes(): Buffer {
    return this.serialOut.bytes;
  }

  send(text: string): void {
    this.vm.serial.input.write(text);
  }

  /** Waits until the console shows the text. */
  async shows(text: string, ms = 20_000): Promise<void> {
    try {
      await until(text, () => this.serial.includes(text) || this.vm.state === 'stopped', ms);
    } catch (error) {
      throw new Error(`the console does not show ${text}: ${this.serial.slice(-500)}`, {
        cause: error,
      });
    }
    if (!this.serial.includes(text)) {
      const { report } = await this.ended();
      throw new Error(`ended without showing ${text}: ${JSON.stringify(report)}; ${this.serial}`);
    }
  }

  /** Waits for the end. @throws Error when the watchdog had to end it */
  async ended(): Promise<GuestResult> {
    const report = await this.vm.wait();
    clearTimeout(this.watchdog);
    if (this.timedOut)
      throw new Error(`the guest did not end; console: ${this.serial.slice(-1000)}`);
    // The streams' last chunks are delivered in later ticks.
    await sleep(1);
    const { serial } = this;
    return {
      report,
      serial,
      debugConsole: this.debugOut.text,
      firmwareLog: this.firmwareOut.text,
      reboots: this.reboots,
      values: (name) =>
        [...serial.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map((match) => match[1]!),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.watchdog);
    await this.vm.stop();
  }
}

/** Runs a guest to its end. */
export async function runGuest(
  name: GuestName,
  options: VirtualMachineOptions = {},
  watchdogMs = WATCHDOG_MS,
): Promise<GuestResult> {
  const guest = await Guest.start(name, options, watchdogMs);
  try {
    return await guest.ended();
  } finally {
    await guest[Symbol.asyncDispose]();
  }
}

/** What a VM could leave behind in this process. */
export interface Held {
  /** Open files of KVM, guest memory and eventfds, by what they are. */
  readonly files: Readonly<Record<string, number>>;
  readonly threads: number;
  /** Mappings of guest memory and vCPUs. */
  readonly mappings: number;
}

/** Counts what this process holds. */
export function held(): Held {
  const files: Record<string, number> = {};
  for (const fd of readdirSync('/proc/self/fd')) {
    let target: string;
    try {
      target = readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      continue;
    }
    if (/kvm|vexit|eventfd/.test(target)) {
      const kind = target.replace(/\d+/g, '').replace(/ \(deleted\)/, '');
      files[kind] = (files[kind] ?? 0) + 1;
    }
  }
  const mappings = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => /kvm-vcpu|memfd:vexit/.test(line)).length;
  return { files, threads: readdirSync('/proc/self/task').length, mappings };
}

/**
 * Registers a check after every test of this file: files, threads and mappings are back to what
 * they were before the first one.
 */
export function checkLeaks(): void {
  let baseline: Held | undefined;
  beforeAll(async () => {
    // Node.js makes threads and eventfds of its own at first use.
    await runGuest('hello16', { bootProtocol: 'flat' });
    await sleep(200);
    baseline = held();
  });
  afterEach(async () => {
    const within = (): boolean => {
      const now = held();
      const grown = Object.entries(now.files).some(([kind, n]) => n > (baseline!.files[kind] ?? 0));
      return !grown && now.threads <= baseline!.threads && now.mappings <= baseline!.mappings;
    };
    await until('everything is given back', within, 3000).catch(() => undefined);
    if (!within()) expect(held()).toEqual(baseline);
  });
}
