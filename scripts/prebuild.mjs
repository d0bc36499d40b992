// Puts the built addon where an installed package looks for it; npm pack calls it. With --remove it
// takes it away again: in a clone it would hide every later build.
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { root } from './stamps.mjs';

const directory = path.join(root, 'prebuilds');
rmSync(directory, { recursive: true, force: true });
if (!process.argv.includes('--remove')) {
  const target = path.join(directory, `${process.platform}-${process.arch}.node`);
  mkdirSync(directory);
  copyFileSync(path.join(root, 'build/Release/vexit.node'), target);
  spawnSync('strip', ['--strip-unneeded', target], { stdio: 'ignore' });
}
