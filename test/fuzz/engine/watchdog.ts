/**
 * Sees a case that does not end: a thread that looks at the number of the case now and then. A case
 * that has used so much processor time is written to a file, and the process is ended.
 */
import { Worker } from 'node:worker_threads';

const LIMIT_SECONDS = 30;
const LONGEST_CASE = 1 << 20;

const LOOK = `
  const { workerData } = require('node:worker_threads');
  const { createHash } = require('node:crypto');
  const { mkdirSync, writeFileSync } = require('node:fs');
  const { state, bytes, limit, folder } = workerData;
  let last = -1;
  let since = process.cpuUsage();
  setInterval(() => {
    const number = Atomics.load(state, 0);
    if (number !== last) {
      last = number;
      since = process.cpuUsage();
      return;
    }
    const { user } = process.cpuUsage(since);
    if (user < limit * 1e6) return;
    const copy = Uint8Array.from(bytes.subarray(0, state[1]));
    const file = folder + '/found-' + createHash('sha256').update(copy).digest('hex').slice(0, 12);
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, copy);
    require('node:fs').writeSync(2, 'a case has run for ' + limit + ' s: ' + file + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }, 1000);`;

export class Watchdog {
  private readonly state = new Int32Array(new SharedArrayBuffer(8));
  private readonly bytes = new Uint8Array(new SharedArrayBuffer(LONGEST_CASE));
  private readonly worker: Worker;

  /** @param folder where a case that hangs goes */
  constructor(folder: string) {
    const { state, bytes } = this;
    const workerData = { state, bytes, limit: LIMIT_SECONDS, folder };
    this.worker = new Worker(LOOK, { eval: true, workerData });
    this.worker.unref();
  }

  /** A case begins. */
  begin(bytes: Uint8Array): void {
    this.bytes.set(bytes.subarray(0, LONGEST_CASE));
    this.state[1] = Math.min(bytes.length, LONGEST_CASE);
    Atomics.add(this.state, 0, 1);
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }
}
