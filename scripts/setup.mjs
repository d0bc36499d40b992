// Prepares a clone: node scripts/setup.mjs start | test | check
//
// Every step looks first whether it is done, so that a second run costs a fraction of a second.
// Progress goes to standard error, one line a step; the output of each step to build/setup/<step>.log.
// Uses nothing but Node.js itself: it runs before npm has ever installed anything.
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { clearInterval, setInterval, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { addonStamp, findHeaders, fresh, hashFile, jsStamp } from './stamps.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const state = path.join(root, 'build/setup');
const { stderr } = process;
const colours = stderr.isTTY === true && stderr.hasColors();
const colour = (name, text) => (colours ? styleText(name, text) : text);
const say = (line) => stderr.write(`${colour('cyan', 'setup:')} ${line}\n`);

/** A reason to stop that a person can act on. */
class SetupError extends Error {}

// ---- Debian packages -------------------------------------------------------------------------

const isFile = (file) => () => existsSync(file);
const inPath = (program) => () =>
  (process.env.PATH ?? '')
    .split(':')
    .some((dir) => dir !== '' && existsSync(path.join(dir, program)));

/** Package name and how to see without dpkg that what it brings is there. */
const BUILD_PACKAGES = [
  ['g++', inPath('g++')],
  ['gcc', inPath('gcc')],
  ['make', inPath('make')],
  ['python3', inPath('python3')],
];
const TEST_PACKAGES = [
  ['acpica-tools', inPath('iasl')],
  ['cpio', inPath('cpio')],
  ['e2fsprogs', isFile('/sbin/mkfs.ext4')],
  ['fakeroot', inPath('fakeroot')],
  ['iperf3', inPath('iperf3')],
  ['seabios', isFile('/usr/share/seabios/bios.bin')],
];
const CHECK_PACKAGES = [['clang-format', inPath('clang-format')]];

function missingPackages(wanted) {
  const absent = wanted.filter(([, present]) => !present()).map(([name]) => name);
  if (absent.length === 0 || !inPath('dpkg-query')()) return absent;
  const { stdout } = spawnSync(
    'dpkg-query',
    ['-W', '-f', '${Package} ${db:Status-Status}\n', ...absent],
    { encoding: 'utf8' },
  );
  const installed = stdout
    .split('\n')
    .filter((line) => line.endsWith(' installed'))
    .map((line) => line.split(' ')[0]);
  return absent.filter((name) => !installed.includes(name));
}

/** How this user may run apt-get: a prefix of the command, or undefined. */
function privilege() {
  if (process.getuid() === 0) return [];
  const sudo =
    inPath('sudo')() && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
  return sudo ? ['sudo', '-n'] : undefined;
}

async function installPackages(names, log) {
  const command = `apt-get install -y --no-install-recommends ${names.join(' ')}`;
  if (!inPath('apt-get')()) {
    throw new SetupError(
      `these programs are missing and there is no apt-get to install them: ${names.join(', ')}\n  install what your distribution calls these Debian packages, then run this again`,
    );
  }
  const prefix = privilege();
  if (prefix === undefined) {
    throw new SetupError(
      `Debian packages are missing and this user may not install them. Run:\n  sudo ${command}`,
    );
  }
  const apt = (...args) =>
    run(
      [
        ...prefix,
        'env',
        'DEBIAN_FRONTEND=noninteractive',
        'apt-get',
        '-q',
        '-o',
        'DPkg::Lock::Timeout=300',
        ...args,
      ],
      log,
    );
  const install = () => apt('install', '-y', '--no-install-recommends', ...names);
  const lists = '/var/lib/apt/lists';
  const indexed = existsSync(lists) && readdirSync(lists).some((name) => name.includes('Packages'));
  // An index may be there and too old: its packages are then gone from the mirror.
  if (indexed && (await install()) === 0) return;
  if ((await apt('update')) !== 0 || (await install()) !== 0) {
    throw new SetupError(
      `apt-get failed. Run it yourself to see why:\n  ${prefix.length === 0 ? '' : 'sudo '}${command}`,
    );
  }
}

function packagesStep(wanted) {
  const names = missingPackages(wanted);
  return {
    name: 'packages',
    title: `Debian packages (${names.join(', ')})`,
    done: names.length === 0,
    act: (log) => installPackages(names, log),
  };
}

// ---- npm packages ----------------------------------------------------------------------------

const lockFile = path.join(root, 'package-lock.json');
const modulesStamp = path.join(root, 'node_modules/.vexit-lock');

/** True when what npm says it has installed is what the lock file asks for. */
function modulesMatchLock() {
  const installed = path.join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) return false;
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const present = JSON.parse(readFileSync(installed, 'utf8')).packages;
  return (
    Object.keys(present).every((name) => name in wanted) &&
    Object.entries(wanted).every(
      ([name, { version, optional }]) =>
        name === '' ||
        (present[name] === undefined ? optional === true : present[name].version === version),
    )
  );
}

function npmStep() {
  const hash = hashFile(lockFile);
  const done = () => {
    if (fresh(modulesStamp, hash)) return true;
    if (!modulesMatchLock()) return false;
    writeFileSync(modulesStamp, hash);
    return true;
  };
  return {
    name: 'npm',
    title: 'npm packages of package-lock.json',
    done: done(),
    act: async (log) => {
      // Dev dependencies whatever NODE_ENV says: they are what builds. No package's script is needed.
      const args = [
        'ci',
        '--include=dev',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--prefer-offline',
      ];
      const npm = process.env.npm_execpath;
      const command = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
      if ((await run([...command, ...args], log)) !== 0) throw new SetupError('npm ci failed');
      writeFileSync(modulesStamp, hash);
    },
  };
}

// ---- addon, JavaScript, guest ----------------------------------------------------------------

function scriptStep(name, title, done, args) {
  return {
    name,
    title,
    done,
    act: async (log) => {
      if ((await run([process.execPath, ...args], log)) !== 0)
        throw new SetupError(`${title}: the build failed`);
    },
  };
}

const addonStep = () =>
  scriptStep('addon', 'native addon', addonStamp().fresh(), ['scripts/build-native.mjs']);
const jsStep = () =>
  scriptStep('js', 'JavaScript', jsStamp().fresh(), ['scripts/build.mjs', '--no-types']);

/** The guest says itself what it does, and is quick when there is nothing to do. */
const guestStep = () => ({
  name: 'guest',
  title: 'default guest',
  done: false,
  ownProgress: true,
  act: async () => {
    const guest = spawn(process.execPath, ['dist/cli.js', 'guest'], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if ((await exitOf(guest)) !== 0)
      throw new SetupError('the default guest could not be built; see above');
  },
});

// ---- running ---------------------------------------------------------------------------------

/** What is running now. */
let child;

function exitOf(started) {
  child = started;
  return new Promise((resolve) => {
    child.once('error', (error) => {
      stderr.write(`${error.message}\n`);
      resolve(127);
    });
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** Runs a program with its output in the log; resolves with its exit status. */
function run([program, ...args], log) {
  writeFileSync(log, `$ ${[program, ...args].join(' ')}\n`, { flag: 'a' });
  const file = openSync(log, 'a');
  const started = spawn(program, args, { cwd: root, stdio: ['ignore', file, file] });
  closeSync(file);
  return exitOf(started);
}

async function perform(step) {
  const log = path.join(state, `${step.name}.log`);
  writeFileSync(log, '');
  const start = Date.now();
  const seconds = () => ((Date.now() - start) / 1000).toFixed(1);
  const label = `${colour('cyan', 'setup:')} ${step.title}`;
  let timer;
  if (!step.ownProgress) {
    stderr.write(`${label} ...`);
    if (stderr.isTTY)
      timer = setInterval(
        () => stderr.write(`\r${label} ... ${Math.floor((Date.now() - start) / 1000)} s`),
        1000,
      );
  }
  const finish = (text) => {
    clearInterval(timer);
    if (!step.ownProgress)
      stderr.write(`${stderr.isTTY ? `\r${label} ...` : ''} ${text} (${seconds()} s)\n`);
    else if (Date.now() - start > 2000) stderr.write(`${label} ... ${text} (${seconds()} s)\n`);
  };
  try {
    await step.act(log);
    finish(colour('green', 'done'));
  } catch (error) {
    finish(colour('red', 'failed'));
    const output = readFileSync(log, 'utf8').trimEnd();
    if (output !== '') stderr.write(`${output.split('\n').slice(-30).join('\n')}\n`);
    if (output !== '') say(`the whole output is in ${path.relative(process.cwd(), log)}`);
    throw error;
  }
}

/** Steps of each goal, made one after the other: a step can tell only then whether it is done. */
const needsGuest = () => existsSync('/dev/kvm');
const buildPackages = () => [
  ...BUILD_PACKAGES,
  ...(addonStamp().fresh() || findHeaders() !== undefined ? [] : [['libnode-dev', () => false]]),
];
const GOALS = {
  // vexit run builds the default guest itself, and only when it boots it.
  start: [() => packagesStep(buildPackages()), npmStep, addonStep, jsStep],
  test: [
    () => packagesStep([...buildPackages(), ...TEST_PACKAGES]),
    npmStep,
    addonStep,
    jsStep,
    ...(needsGuest() ? [guestStep] : []),
  ],
  check: [() => packagesStep(CHECK_PACKAGES), npmStep],
};

function checkMachine(goal) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20)
    throw new SetupError(
      `Node.js ${process.versions.node} is too old: install Node.js 20 or later`,
    );
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new SetupError(
      `vexit runs on Linux on x86-64; this is ${process.platform} on ${process.arch}`,
    );
  }
  if (goal !== 'start') return;
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch (error) {
    const what =
      error.code === 'ENOENT' ? 'there is no /dev/kvm' : 'this user may not open /dev/kvm';
    const hint =
      error.code === 'ENOENT'
        ? 'load kvm_intel or kvm_amd, switch virtualization on in the firmware, or pass --device /dev/kvm to the container'
        : 'give it to the user (sudo setfacl -m "u:$USER:rw" /dev/kvm), or add the user to its group and log in again';
    throw new SetupError(`${what}, so no VM can run: ${hint}`);
  }
}

async function main() {
  const [goal = '', locked] = process.argv.slice(2);
  const makers = GOALS[goal];
  if (makers === undefined) throw new SetupError('say what for: start, test or check');
  checkMachine(goal);
  mkdirSync(state, { recursive: true });
  for (const make of makers) {
    const step = make();
    if (step.done) continue;
    // One at a time in a clone. Nothing is held for the guest, which has a lock of its own.
    if (locked !== '--locked' && !step.ownProgress && inPath('flock')()) {
      const again = [process.execPath, fileURLToPath(import.meta.url), goal, '--locked'];
      const file = path.join(state, 'lock');
      if (spawnSync('flock', ['--nonblock', file, 'true']).status !== 0)
        say('another set-up is at work in this clone: waiting for it');
      const alone = spawn('flock', ['--no-fork', file, ...again], {
        cwd: root,
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      process.exitCode = await exitOf(alone);
      return;
    }
    await perform(step);
  }
}

// A terminal's Ctrl-C reaches the programs too, a signal of somebody else does not. What runs has a
// moment to end before the lock goes; npm takes no notice of SIGTERM.
const inner = process.argv.includes('--locked');
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, () => {
    if (!inner) stderr.write('\nsetup: interrupted\n');
    if (child === undefined) process.exit(status);
    child.once('close', () => process.exit(status));
    child.kill(signal);
    setTimeout(() => child.kill('SIGKILL'), inner ? 2000 : 5000);
  });
}

main().catch((error) => {
  if (!(error instanceof SetupError)) throw error;
  stderr.write(`${colour('red', 'setup:')} ${error.message}\n`);
  process.exitCode = 1;
});
