/** `vexit config validate` */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { checkConfig } from '../../machine/config.js';
import { VM_NAME } from '../../manage/paths.js';
import { checkVmConfig, type VmConfig } from '../../manage/records.js';
import { readJson } from '../../manage/state-file.js';
import { Vexit } from '../../manage/vexit.js';
import { VexitError } from '../../util/errors.js';
import { reportError, statusOf } from '../error-report.js';

function read(target: string): VmConfig {
  if (!existsSync(target) && VM_NAME.test(target)) return new Vexit().get(target).config;
  const fields = readJson(target);
  if (fields === undefined) throw new VexitError('ERR_STORE', `${target} does not exist`);
  return checkVmConfig(target, fields);
}

/** Files that a VM needs to start, by the options that name them. */
function checkFiles({ directory, options }: VmConfig): void {
  const { kernel, firmware, disks = [], pmem = [] } = options;
  const paths = [kernel, firmware, ...pmem.map((one) => one.path)];
  for (const disk of disks) if ('path' in disk) paths.push(disk.path);
  for (const file of paths) {
    if (file === undefined || existsSync(path.resolve(directory, file))) continue;
    throw new VexitError('ERR_CONFIG', `${file} does not exist`, 'check the path');
  }
}

/** Says of each whether it is right; sets the exit status. */
export function validateConfigs(targets: readonly string[]): void {
  for (const target of targets) {
    try {
      const config = read(target);
      checkConfig(config.options);
      checkFiles(config);
      process.stdout.write(`${target}: right\n`);
    } catch (error) {
      if (!(error instanceof VexitError)) throw error;
      const message = error.message.startsWith(target)
        ? error.message
        : `${target}: ${error.message}`;
      reportError(new VexitError(error.code, message, error.hint));
      process.exitCode ??= statusOf(error);
    }
  }
}
