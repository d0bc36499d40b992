// Bundles the library, the CLI and the vCPU worker into dist/, and writes the type declarations
// unless told --no-types.
//
// One file a program: start-up time goes with the number of files Node.js has to find and read.
// Every file is replaced by one rename, so that a VM that starts meanwhile finds a whole one.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { build } from 'esbuild';
import { jsStamp, root } from './stamps.mjs';

const types = !process.argv.includes('--no-types');
const stamp = jsStamp();
const dist = path.join(root, 'dist');
mkdirSync(path.join(root, 'build'), { recursive: true });
const fresh = mkdtempSync(path.join(root, 'build/dist-'));
process.on('exit', () => rmSync(fresh, { recursive: true, force: true }));

const common = {
  absWorkingDir: root,
  outdir: fresh,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  legalComments: 'eof',
  logLevel: 'warning',
};
await build({
  ...common,
  entryPoints: { index: 'src/index.ts', 'vcpu-worker': 'src/machine/vcpu-worker.ts' },
});
await build({
  ...common,
  entryPoints: { cli: 'src/cli/main.ts' },
  banner: { js: '#!/usr/bin/env node' },
});
chmodSync(path.join(fresh, 'cli.js'), 0o755);

if (types) {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const args = [tsc, '--emitDeclarationOnly', '--outDir', path.join(fresh, 'types')];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) {
    console.error(stdout);
    process.exit(1);
  }
}

mkdirSync(dist, { recursive: true });
const names = readdirSync(fresh);
for (const name of readdirSync(dist)) {
  if (!names.includes(name)) rmSync(path.join(dist, name), { recursive: true });
}
for (const name of names) {
  // A directory cannot be renamed over one that has files.
  if (name === 'types') rmSync(path.join(dist, name), { recursive: true, force: true });
  renameSync(path.join(fresh, name), path.join(dist, name));
}
writeFileSync(path.join(dist, '.stamp'), stamp.hash);
console.error('dist: built');
