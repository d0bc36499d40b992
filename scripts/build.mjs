// Bundles the library, the CLI and the workers into dist/, and writes the type declarations unless
// told --no-types.
//
// One file a program: start-up time goes with the number of files Node.js has to find and read. But
// packages of others are files of their own, shared by the programs and read when first used: what
// is in a program's file is read and parsed with it.
// Every file is replaced by one rename, so that a VM that starts meanwhile finds a whole one.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { build } from 'esbuild';
import { hashFile, jsStamp, root } from './stamps.mjs';

const types = !process.argv.includes('--no-types');
const stamp = jsStamp();
const dist = path.join(root, 'dist');
mkdirSync(path.join(root, 'build'), { recursive: true });
const fresh = mkdtempSync(path.join(root, 'build/dist-'));
process.on('exit', () => rmSync(fresh, { recursive: true, force: true }));

/** The licences of the packages whose code is in the bundles, as these licences ask for. */
function notices(results) {
  const inputs = results.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const packages = inputs.map(
    (file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0],
  );
  return [...new Set(packages)]
    .filter((directory) => directory !== undefined)
    .sort()
    .map((directory) => {
      const folder = path.join(root, directory);
      const { name, version, license } = JSON.parse(
        readFileSync(path.join(folder, 'package.json'), 'utf8'),
      );
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      const text =
        file === undefined ? license : readFileSync(path.join(folder, file), 'utf8').trim();
      return `${name} ${version}\n\n${text}\n`;
    })
    .join(`\n${'-'.repeat(72)}\n\n`);
}

const common = {
  absWorkingDir: root,
  outdir: fresh,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  charset: 'ascii',
  legalComments: 'eof',
  logLevel: 'warning',
  metafile: true,
};
/** Packages that a program can do without until it is asked for what they are for. */
const PACKAGES = ['fzstd', 'tar', 'yaml', 'yargs', 'yocto-spinner'];
/** The programs find them beside themselves. */
const packagesBeside = {
  name: 'packages-beside',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^(${PACKAGES.join('|')})$`) }, ({ path: name }) => ({
      path: name,
      namespace: 'beside',
    }));
    // By require, which loads a file without the ES module loader that import() would start.
    onLoad({ filter: /.*/, namespace: 'beside' }, ({ path: name }) => ({
      contents: `module.exports = require('./${name}.js');`,
    }));
    onResolve({ filter: /^\.\//, namespace: 'beside' }, ({ path: file }) => ({
      path: file,
      external: true,
    }));
  },
};
/** yargs wants node:assert for two comparisons of its own; loading it takes as long as parsing. */
const withoutAssert = {
  name: 'without-assert',
  setup({ onResolve }) {
    onResolve({ filter: /^assert$/ }, ({ importer }) =>
      importer.includes('/node_modules/yargs/')
        ? { path: path.join(root, 'scripts/assert-shim.cjs') }
        : undefined,
    );
  },
};

const packages = await build({
  ...common,
  entryPoints: Object.fromEntries(PACKAGES.map((name) => [name, name])),
  plugins: [withoutAssert],
});
const library = await build({
  ...common,
  plugins: [packagesBeside],
  entryPoints: {
    index: 'src/index.ts',
    'vcpu-worker': 'src/machine/vcpu-worker.ts',
    'io-worker': 'src/machine/virtio/io-worker.ts',
    'vm-process': 'src/manage/vm-process.ts',
  },
});
/** The helper for tests uses the library that stands beside it. */
const libraryBeside = {
  name: 'library-beside',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.\/index\.js$/ }, () => ({ path: './index.js', external: true }));
  },
};
await build({
  ...common,
  entryPoints: { jest: 'src/jest/index.ts' },
  plugins: [libraryBeside],
});
const cli = await build({
  ...common,
  entryPoints: { 'cli-main': 'src/cli/main.ts' },
  plugins: [packagesBeside],
});
await build({
  ...common,
  entryPoints: { cli: 'src/cli/launch.ts' },
  banner: { js: '#!/usr/bin/env node' },
  define: { BUILD_ID: JSON.stringify(hashFile(path.join(fresh, 'cli-main.js')).slice(0, 16)) },
});
chmodSync(path.join(fresh, 'cli.js'), 0o755);
writeFileSync(path.join(fresh, 'THIRD-PARTY.txt'), notices([packages, library, cli]));

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
