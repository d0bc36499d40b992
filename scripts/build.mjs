// Bundles the library, the CLI and the vCPU worker into dist/, and writes the type declarations.
//
// One file a program: start-up time goes with the number of files Node.js has to find and read.
import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.join(root, 'dist');
rmSync(dist, { recursive: true, force: true });

const common = {
  absWorkingDir: root,
  outdir: 'dist',
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
chmodSync(path.join(dist, 'cli.js'), 0o755);

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const { status, stdout } = spawnSync(process.execPath, [tsc, '--emitDeclarationOnly'], {
  cwd: root,
  encoding: 'utf8',
});
if (status !== 0) {
  console.error(stdout);
  process.exit(1);
}
console.error('dist: built');
