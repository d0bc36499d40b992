/** What the demo shows: a VM's life in the background. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import type { Cast } from './cast';
import { Recorder } from './recorder';

/** The guest's shell asks. */
const GUEST_PROMPT = /# (\x1b\[6n)?$/; // eslint-disable-line no-control-regex

async function take(recorder: Recorder): Promise<void> {
  await recorder.ready();
  await recorder.run('# a Linux VM in the background, one of its ports published');
  await recorder.run('vexit run -d --name web --publish 8080:80');
  await recorder.run('vexit ps');
  await recorder.run('# programs in it');
  await recorder.run('vexit exec web -- uname -sr');
  await recorder.type('vexit exec -it web -- sh', GUEST_PROMPT);
  await recorder.type('echo "hello from $(hostname)" > /tmp/index.html', GUEST_PROMPT);
  await recorder.type('httpd -h /tmp', GUEST_PROMPT);
  await recorder.run('exit');
  await recorder.run('curl localhost:8080');
  await recorder.run('# what it takes of the host');
  await recorder.run('vexit stats --no-stream web');
  await recorder.run('vexit stop web && vexit rm web');
}

/**
 * Takes the tour with a command line, in places of its own: nothing of this host shows.
 *
 * @param cli - the command line's JavaScript file
 * @throws when a command fails or does not answer
 */
export async function recordTour(cli: string): Promise<Cast> {
  const home = mkdtempSync(path.join(tmpdir(), 'vexit-demo-'));
  const bin = path.join(home, 'bin');
  mkdirSync(bin);
  const script = `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`;
  writeFileSync(path.join(bin, 'vexit'), script, { mode: 0o755 });
  writeFileSync(path.join(home, '.inputrc'), 'set enable-bracketed-paste off\n');
  const env = {
    ...{ HOME: home, PATH: `${bin}:/usr/bin:/bin`, SHELL: '/bin/sh' },
    ...{ TERM: 'xterm-256color', LANG: 'C.UTF-8', HISTFILE: '' },
    ...{ XDG_STATE_HOME: path.join(home, 'state'), XDG_RUNTIME_DIR: home },
    XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), // the guest's kernel
  };
  const recorder = new Recorder(100, 24, env, home);
  try {
    await take(recorder);
    return recorder.stop('vexit');
  } catch (error) {
    recorder.stop('');
    spawnSync(path.join(bin, 'vexit'), ['rm', '--force', 'web'], { env, stdio: 'ignore' });
    throw error;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
