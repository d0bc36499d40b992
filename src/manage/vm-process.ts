/**
 * Entry point of a managed VM's process (dist/vm-process.js DIRECTORY): one for each VM, without a
 * terminal. It tells who started it how the start went by one line of JSON on descriptor 3.
 */
import fs from 'node:fs';
import { EXIT_STATUS } from '../machine/exit-report.js';
import { errorMessage } from '../util/errors.js';
import { ConsoleLog } from './console-log.js';
import { ControlServer, describeError } from './control-server.js';
import { operations, processTitle } from './operations.js';
import { Store } from './store.js';
import { Supervisor } from './supervisor.js';
import { VmDirectory } from './vm-directory.js';

const REPORT_FD = 3;
/** The process before this one may not have been ended by the kernel yet. */
const ALIVE_MS = 10_000;
/** What the guest gets to power off when the host asks this process to end. */
const SIGNAL_GRACE_MS = 10_000;

/** Says how the start went. Nobody may be there any more to hear it. */
function report(value: unknown): void {
  try {
    fs.writeSync(REPORT_FD, `${JSON.stringify(value)}\n`);
  } catch {
    // The command that started this VM was killed.
  }
  fs.closeSync(REPORT_FD);
}

/** Options are relative to where the VM was created; a directory that is gone matters to none. */
function enterDirectory(directory: string): void {
  try {
    process.chdir(directory);
  } catch {
    process.chdir('/');
  }
}

async function main(at: string): Promise<number> {
  process.umask(0o077);
  const store = Store.around(fs.realpathSync(at));
  const directory = VmDirectory.pin(at);
  const alive = await directory.becomeAlive(ALIVE_MS);
  process.title = processTitle(directory.name);
  const config = directory.readConfig();
  enterDirectory(config.directory);
  const log = new ConsoleLog(directory);
  const supervisor = new Supervisor(store, directory, config, log);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => void supervisor.stop('stop', SIGNAL_GRACE_MS));
  }
  process.on('SIGHUP', () => undefined);
  const server = await ControlServer.listen(directory.socket, operations(supervisor));
  try {
    await supervisor.start();
    report({});
    const { status } = await supervisor.run();
    return status;
  } catch (error) {
    if (supervisor.state.status !== 'exited') throw error;
    report({ error: describeError(error) });
    return EXIT_STATUS.usage;
  } finally {
    await server.close();
    log.close();
    supervisor.resources?.close();
    // Names change under the store's lock, so nobody sees the directory half removed.
    if (config.autoRemove && supervisor.state.status === 'exited') await store.remove(directory);
    alive.release();
  }
}

main(process.argv[2]!).then(
  (status) => process.exit(status),
  (error: unknown) => {
    process.stderr.write(`${errorMessage(error)}\n`);
    try {
      report({ error: describeError(error) });
    } catch {
      // Reported before.
    }
    process.exit(EXIT_STATUS.internalError);
  },
);
