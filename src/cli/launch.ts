/**
 * Entry point of `vexit`: runs dist/cli-main.js with the code that V8 compiled in an earlier run.
 *
 * Half of the way to the guest's first instruction that is ours is parsing and compiling; with the
 * code cache it is a read. Node.js 22 has module.enableCompileCache() for this, Node.js 20 has not.
 */
import fs from 'node:fs';
import { createRequire, wrap } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import vm from 'node:vm';
import type { milestones } from './milestones.js';

/** Hash of cli-main.js, put in by the build: V8 itself compares no more than the source's length. */
declare const BUILD_ID: string;

/** Files in the cache that nobody has renewed for this long belong to versions long gone. */
const KEEP_MS = 30 * 24 * 3600 * 1000;

type Main = (
  exports: { milestones?: typeof milestones },
  require: NodeJS.Require,
  module: { exports: { milestones?: typeof milestones } },
  filename: string,
  dirname: string,
) => void;

/** Compiled code is as good as a program: it is taken from nobody but this user. */
function readOwn(file: string): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    const { uid, mode } = fs.fstatSync(fd);
    return uid === process.geteuid?.() && (mode & 0o022) === 0 ? fs.readFileSync(fd) : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

/** Keeps the code for the next run; a cache that cannot be written is no error. */
function keep(file: string, code: Buffer): void {
  const directory = path.dirname(file);
  const temporary = `${file}.${process.pid}`;
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.writeFileSync(temporary, code, { mode: 0o600, flag: 'wx' });
    fs.renameSync(temporary, file);
    for (const name of fs.readdirSync(directory)) {
      const other = path.join(directory, name);
      if (Date.now() - fs.statSync(other).mtimeMs > KEEP_MS) fs.rmSync(other);
    }
  } catch {
    // Read-only home, full disk: the next run compiles again.
  }
}

function cacheFile(): string {
  const xdg = process.env.XDG_CACHE_HOME;
  const base = xdg !== undefined && path.isAbsolute(xdg) ? xdg : path.join(os.homedir(), '.cache');
  const name = `cli-${BUILD_ID}-${process.version}-${process.arch}.bin`;
  return path.join(base, 'vexit', 'code', name);
}

function launch(): void {
  const filename = path.join(__dirname, 'cli-main.js');
  const file = process.env.VEXIT_CODE_CACHE === '0' ? undefined : cacheFile();
  const cachedData = file === undefined ? undefined : readOwn(file);
  // The build writes ASCII, which needs no decoding.
  const script = new vm.Script(wrap(fs.readFileSync(filename, 'latin1')), {
    filename,
    ...(cachedData === undefined ? {} : { cachedData }),
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const module: Parameters<Main>[2] = { exports: {} };
  const main = script.runInThisContext() as Main;
  main(module.exports, createRequire(filename), module, filename, __dirname);
  if (file === undefined || (cachedData !== undefined && script.cachedDataRejected === false))
    return;
  process.on('exit', () => {
    // Only a run that went all the way has compiled what the next one needs.
    if (module.exports.milestones?.guestEnded === true) keep(file, script.createCachedData());
  });
}

launch();
