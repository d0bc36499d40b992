// Builds the addon with node-gyp when its sources are newer than the binary.
//
// Node's own headers are looked for beside the running node and in /usr/include, because node-gyp
// would otherwise download them. N-API is ABI-stable, so headers of another Node.js line will do.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const output = path.join(root, 'build/Release/vexit.node');
const sources = readdirSync(path.join(root, 'native')).map((name) =>
  path.join(root, 'native', name),
);
sources.push(path.join(root, 'binding.gyp'));

const newest = Math.max(...sources.map((file) => statSync(file).mtimeMs));
if (existsSync(output) && statSync(output).mtimeMs > newest && !process.argv.includes('--force')) {
  console.error('addon: up to date');
  process.exit(0);
}

const prefixes = [
  process.env.npm_config_nodedir,
  path.dirname(path.dirname(process.execPath)),
  '/usr',
];
const nodedir = prefixes.find(
  (dir) => dir && existsSync(path.join(dir, 'include/node/node_api.h')),
);
const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
const args = [nodeGyp, 'rebuild', ...(nodedir ? [`--nodedir=${nodedir}`] : [])];
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
console.error('addon: built');
