/** Checks of the host: what vexit needs, what it can use, and how to mend what is missing. */
import { accessSync, constants, existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import os from 'node:os';
import { Kvm } from '../kvm/kvm.js';
import { native } from '../kvm/native.js';
import { VexitError, errorMessage } from '../util/errors.js';
import { formatSize } from '../util/size.js';

/** ok: there; note: works without, or slower; fail: no VM can run. */
export type CheckStatus = 'ok' | 'note' | 'fail';

/** One fact about the host. */
export interface Check {
  readonly name: string;
  readonly status: CheckStatus;
  readonly detail: string;
  /** What to do, when something is missing. */
  readonly hint?: string;
}

const ok = (name: string, detail: string): Check => ({ name, status: 'ok', detail });
const note = (name: string, detail: string, hint: string): Check => ({
  name,
  status: 'note',
  detail,
  hint,
});
const fail = (name: string, detail: string, hint: string): Check => ({
  name,
  status: 'fail',
  detail,
  hint,
});

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function checkNode(): Check {
  const major = Number(process.versions.node.split('.')[0]);
  return major >= 20
    ? ok('node', `Node.js ${process.versions.node}`)
    : fail('node', `Node.js ${process.versions.node}`, 'install Node.js 20 or later');
}

function checkAddon(): Check {
  try {
    native();
    return ok('addon', 'the native addon loads');
  } catch (error) {
    const hint = error instanceof VexitError ? error.hint : undefined;
    return fail('addon', errorMessage(error), hint ?? 'run: npm run build:native');
  }
}

function checkKvm(device: string): Check[] {
  let kvm: Kvm;
  try {
    kvm = Kvm.open(device);
  } catch (error) {
    const hint = error instanceof VexitError ? error.hint : undefined;
    return [fail('kvm', errorMessage(error), hint ?? 'see docs/hosts.md')];
  }
  try {
    const vcpus = kvm.capability('KVM_CAP_MAX_VCPUS');
    return [
      ok('kvm', `${device} opens, API version 12, up to ${vcpus} vCPUs a VM`),
      checkOptional(kvm),
      checkVm(kvm),
    ];
  } finally {
    kvm.close();
  }
}

function checkOptional(kvm: Kvm): Check {
  const names = ['KVM_CAP_READONLY_MEM', 'KVM_CAP_TSC_DEADLINE_TIMER', 'KVM_CAP_SIGNAL_MSI'];
  const missing = names.filter((name) => kvm.capability(name) === 0);
  return missing.length === 0
    ? ok('capabilities', 'everything vexit can use is there')
    : note('capabilities', `not there: ${missing.join(', ')}`, 'a newer kernel may have them');
}

function checkVm(kvm: Kvm): Check {
  try {
    kvm.createVm().close();
    return ok('vm', 'a virtual machine can be created');
  } catch (error) {
    return fail(
      'vm',
      `no virtual machine: ${errorMessage(error)}`,
      'look into the kernel log (dmesg)',
    );
  }
}

function checkVirtualization(): Check {
  const flags = readText('/proc/cpuinfo') ?? '';
  if (existsSync('/sys/module/kvm_pvm')) {
    return note(
      'virtualization',
      'kvm-pvm: no VT-x or AMD-V, guest kernels are interpreted',
      'works, with completions and added kernel parameters; for speed use a host with VT-x or AMD-V',
    );
  }
  if (/\bvmx\b/.test(flags)) return ok('virtualization', 'VT-x');
  if (/\bsvm\b/.test(flags)) return ok('virtualization', 'AMD-V');
  return note(
    'virtualization',
    'neither VT-x nor AMD-V in /proc/cpuinfo',
    'switch virtualization on in the firmware; in a VM, ask for nested virtualization',
  );
}

function checkTun(): Check {
  const device = '/dev/net/tun';
  if (!existsSync(device)) return note('tap', `no ${device}`, 'modprobe tun, for tap networking');
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return ok('tap', `${device} can be opened`);
  } catch {
    return note('tap', `${device} may not be opened`, 'only tap networking needs it');
  }
}

function checkUserNamespaces(): Check {
  const max = Number(readText('/proc/sys/user/max_user_namespaces') ?? '0');
  const clone = readText('/proc/sys/kernel/unprivileged_userns_clone');
  return max > 0 && clone !== '0'
    ? ok('user namespaces', `allowed, up to ${max}`)
    : note('user namespaces', 'not allowed', 'sysctl user.max_user_namespaces=15000');
}

function checkMemory(): Check {
  const free =
    Number(/MemAvailable:\s+(\d+) kB/.exec(readText('/proc/meminfo') ?? '')?.[1] ?? 0) * 1024;
  const rounded = Math.floor(free / 2 ** 20) * 2 ** 20;
  return free >= 512 * 2 ** 20
    ? ok('memory', `${formatSize(rounded)} available, ${os.cpus().length} processors`)
    : note(
        'memory',
        `${formatSize(rounded)} available`,
        'guests of 128 MiB need about 200 MiB each',
      );
}

/** Which processes keep /dev/kvm from whom: shown when it cannot be opened. */
function checkOwner(device: string): Check[] {
  try {
    const { mode, uid, gid } = statSync(device);
    const group = readText('/etc/group')
      ?.split('\n')
      .find((line) => line.split(':')[2] === String(gid));
    const text = `${device}: owner ${uid}, group ${group?.split(':')[0] ?? gid}, mode ${(mode & 0o777).toString(8)}`;
    return [ok('device', text)];
  } catch {
    const modules = readdirSync('/sys/module').filter((name) => name.startsWith('kvm'));
    return [
      fail(
        'device',
        `no ${device}; kvm modules: ${modules.join(', ') || 'none'}`,
        'modprobe kvm_intel or kvm_amd; in a container, --device /dev/kvm',
      ),
    ];
  }
}

/** Every check, in the order people read them. */
export function checkHost(device = '/dev/kvm'): Check[] {
  const addon = checkAddon();
  return [
    checkNode(),
    addon,
    ...checkOwner(device),
    ...(addon.status === 'fail' ? [] : checkKvm(device)),
    checkVirtualization(),
    checkTun(),
    checkUserNamespaces(),
    checkMemory(),
  ];
}
