// The FUSE server without a guest: node bench/fs-server.mjs [DIRECTORY]. The directory is where the
// file system to measure is; the temporary one unless given.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { root } from './lib/build.mjs';

const outfile = path.join(root, 'build', 'bench', `fs-server-${process.pid}.cjs`);
mkdirSync(path.dirname(outfile), { recursive: true });
await build({
  entryPoints: [path.join(root, 'test/support/fs-server-bench.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  logLevel: 'warning',
});
const { status } = spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], {
  stdio: 'inherit',
});
rmSync(outfile);
process.exit(status ?? 1);
