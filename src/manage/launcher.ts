/** Starts the process of a VM and waits until its guest runs. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { packageRoot } from '../kvm/native.js';
import { VexitError, type ErrorCode } from '../util/errors.js';
import { NEW_RECORD } from './records.js';
import { storing } from './state-file.js';
import type { VmDirectory } from './vm-directory.js';

/** Bytes of the process's own log that an error shows. */
const LOG_TAIL = 500;

interface StartReport {
  readonly error?: { readonly code: ErrorCode; readonly message: string; readonly hint?: string };
}

/** Everything the process says on descriptor 3, once it has closed it or ended. */
function reportOf(directory: VmDirectory): Promise<string> {
  const program = path.join(packageRoot(), 'dist', 'vm-process.js');
  const log = storing(directory.processLog, () => fs.openSync(directory.processLog, 'w', 0o600));
  try {
    const child = spawn(process.execPath, [program, directory.path], {
      detached: true,
      cwd: '/',
      stdio: ['ignore', log, log, 'pipe'],
    });
    child.unref();
    return new Promise((resolve, reject) => {
      const pipe = child.stdio[3] as NodeJS.ReadableStream;
      let text = '';
      child.on('error', (error) =>
        reject(new VexitError('ERR_CONTROL', `cannot start ${process.execPath}: ${error.message}`)),
      );
      pipe.on('data', (bytes: Buffer) => (text += bytes.toString('utf8')));
      pipe.on('error', () => resolve(text));
      pipe.on('close', () => resolve(text));
    });
  } finally {
    fs.closeSync(log);
  }
}

function lastWords(directory: VmDirectory): string {
  try {
    return fs.readFileSync(directory.processLog, 'utf8').trim().slice(-LOG_TAIL);
  } catch {
    return '';
  }
}

/**
 * Starts the VM in a process of its own. The caller holds the VM's lock, so that nobody else starts
 * it meanwhile.
 * @throws VexitError why it could not be started; the VM then is as if it had ended
 */
export async function launch(directory: VmDirectory): Promise<void> {
  // From here to the process's own first record, "starting" without a process means interrupted.
  directory.writeRecord({ ...NEW_RECORD, status: 'starting' });
  const text = await reportOf(directory);
  if (text !== '') {
    const { error } = JSON.parse(text) as StartReport;
    if (error === undefined) return;
    throw new VexitError(error.code, error.message, error.hint);
  }
  const words = lastWords(directory);
  throw new VexitError(
    'ERR_CONTROL',
    `the process of VM ${directory.name} ended before its guest ran${words === '' ? '' : `: ${words}`}`,
  );
}
