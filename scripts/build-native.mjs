// Builds the addon with node-gyp when its sources have changed since the last build.
//
// Node's own headers are looked for beside the running node and in /usr/include, because node-gyp
// would otherwise download them. N-API is ABI-stable, so headers of another Node.js line will do.
// make builds only what has changed; --force begins from nothing.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { addonStamp, findHeaders, root } from './stamps.mjs';

const force = process.argv.includes('--force');
const stamp = addonStamp();
if (stamp.fresh() && !force) {
  console.error('addon: up to date');
  process.exit(0);
}

const nodedir = findHeaders();
const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
const commands = force ? ['clean', 'configure', 'build'] : ['configure', 'build'];
for (const command of commands) {
  const args = [nodeGyp, command, ...(nodedir ? [`--nodedir=${nodedir}`] : [])];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) {
    console.error(stdout + stderr);
    console.error(
      'addon: build failed; it needs g++, make and python3, and the headers of Node.js (libnode-dev)',
    );
    process.exit(1);
  }
}
stamp.write();
console.error('addon: built');
