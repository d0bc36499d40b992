/** `vexit config validate` */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { checkConfig } from '../../machine/config.js';
import { VM_NAME } from '../../manage/paths.js';
import { ProjectError } from '../../manage/project/problems.js';
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

/** Whether a file describes a project, and not the VM of a config.json. */
function isProject(target: string): boolean {
  if (/\.ya?ml$/i.test(target)) return true;
  if (path.basename(target) === 'config.json' || !target.endsWith('.json')) return false;
  try {
    const value = JSON.parse(readFileSync(target, 'utf8')) as unknown;
    return typeof value !== 'object' || value === null || !('options' in value);
  } catch {
    return true; // and why it cannot be read is said with the place
  }
}

async function validate(target: string): Promise<void> {
  if (isProject(target)) {
    const { readProject } = await import('../../manage/project/project-file.js');
    readProject(target);
    return;
  }
  const config = read(target);
  checkConfig(config.options);
  checkFiles(config);
}

/** Says of each whether it is right; sets the exit status. */
export async function validateConfigs(targets: readonly string[]): Promise<void> {
  for (const target of targets) {
    try {
      await validate(target);
      process.stdout.write(`${target}: right\n`);
    } catch (error) {
      if (!(error instanceof VexitError)) throw error;
      if (error instanceof ProjectError) {
        reportError(error);
        process.exitCode ??= statusOf(error);
        continue;
      }
      const message = error.message.startsWith(target)
        ? error.message
        : `${target}: ${error.message}`;
      reportError(new VexitError(error.code, message, error.hint));
      process.exitCode ??= statusOf(error);
    }
  }
}
