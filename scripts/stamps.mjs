// Whether a built thing is made of the sources that are there now: a hash of their contents is kept
// beside it. Times would not do: git gives an old file of another branch a new one.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

export function hashFile(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** True when the stamp file holds this hash. */
export function fresh(stampFile, hash) {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === hash;
}

function* filesOf(name) {
  const file = path.join(root, name);
  const entries = readdirSync(file, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inside = `${name}/${entry.name}`;
    if (entry.isDirectory()) yield* filesOf(inside);
    else yield inside;
  }
}

class Stamp {
  /** The hash is taken now: what changes during a build is built again. */
  constructor(stampFile, output, sources) {
    const hash = createHash('sha256');
    for (const name of sources)
      hash
        .update(`${name}\0`)
        .update(readFileSync(path.join(root, name)))
        .update('\0');
    this.hash = hash.digest('hex');
    this.stampFile = path.join(root, stampFile);
    this.output = path.join(root, output);
  }

  fresh() {
    return existsSync(this.output) && fresh(this.stampFile, this.hash);
  }

  write() {
    mkdirSync(path.dirname(this.stampFile), { recursive: true });
    writeFileSync(this.stampFile, this.hash);
  }
}

/** The addon of native/ and binding.gyp. */
export function addonStamp() {
  return new Stamp('build/setup/addon.stamp', 'build/Release/vexit.node', [
    'binding.gyp',
    ...filesOf('native'),
  ]);
}

/** dist/ of src/, and the libraries that are bundled. */
export function jsStamp() {
  const sources = [...filesOf('src'), ...filesOf('scripts')].filter((name) =>
    /^src\/.*\.ts$|^scripts\/(build\.mjs|.*\.cjs)$/.test(name),
  );
  return new Stamp('dist/.stamp', 'dist/cli.js', ['package-lock.json', ...sources]);
}

/** The directory that node-gyp calls nodedir, or undefined when Node's headers are not on this machine. */
export function findHeaders() {
  const prefixes = [
    process.env.npm_config_nodedir,
    path.dirname(path.dirname(process.execPath)),
    '/usr',
  ];
  return prefixes.find((dir) => dir && existsSync(path.join(dir, 'include/node/node_api.h')));
}
