/** `vexit create` and `vexit run -d`. */
import { bootsDefaultGuest, checkConfig, guestSource } from '../../machine/config.js';
import type { ManagedVm } from '../../manage/managed-vm.js';
import { randomName } from '../../manage/paths.js';
import { NO_RESTART, parseRestartPolicy } from '../../manage/restart-policy.js';
import { Vexit, type CreateVmOptions } from '../../manage/vexit.js';
import { VexitError } from '../../util/errors.js';
import type { RunArguments } from '../commands/run.js';
import { healthCheck } from '../health-options.js';
import { resourceLimits } from '../resource-options.js';
import { runOptions } from '../run-options.js';

/** Options that only make sense on a terminal. */
const FOREGROUND = ['timeout', 'json', 'verbose'] as const;

async function describeVm(args: RunArguments): Promise<CreateVmOptions> {
  for (const option of FOREGROUND) {
    if (args[option] === undefined) continue;
    throw new VexitError('ERR_CONFIG', `--${option} is for VMs on a terminal`, 'leave it out');
  }
  const { name = randomName(), ...options } = await runOptions({ ...args, detach: true });
  const restart = args.restart === undefined ? NO_RESTART : parseRestartPolicy(args.restart);
  if (args.rm === true && restart.name === 'always') {
    throw new VexitError('ERR_CONFIG', '--rm and --restart always at once', 'give one of the two');
  }
  // Said now and not when it is started.
  checkConfig({ ...options, name });
  const log = { firmware: args.firmwareLog === true, debug: args.debugConsole === true };
  const resources = resourceLimits(args);
  const health = healthCheck(args);
  return {
    ...{ name, options, restart, autoRemove: args.rm === true, log },
    ...(resources === undefined ? {} : { resources }),
    ...(health === undefined ? {} : { health }),
  };
}

/** Builds the default guest, with its progress shown, if a VM boots it. */
export async function prepareFor({ options }: Pick<CreateVmOptions, 'options'>): Promise<void> {
  if (!bootsDefaultGuest(options)) return;
  await (await import('../prepare-guest.js')).prepareGuest(guestSource(options));
}

export async function createOnly(args: RunArguments): Promise<ManagedVm> {
  return new Vexit().create(await describeVm(args));
}

export async function runDetached(args: RunArguments): Promise<void> {
  const options = await describeVm(args);
  await prepareFor(options);
  const { name } = await new Vexit().run(options);
  process.stdout.write(`${name}\n`);
}
