/** The package as it is published: packed, and installed without scripts in an empty directory. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../..');
/** What a checkout has, and the built addon, so that packing compiles no C. */
const TREE = [
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'binding.gyp', 'native', 'src'],
  ...['scripts', 'README.md', 'LICENSE', 'CHANGELOG.md'],
  ...['build/Release/vexit.node', 'build/setup/addon.stamp'],
];

function npm(cwd: string, ...args: string[]): void {
  const env = { ...process.env, npm_config_update_notifier: 'false' };
  execFileSync('npm', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A directory whose node_modules holds the packed package and nothing else. */
export class PackedPackage {
  private constructor(
    private readonly directory: string,
    /** Where the user of the package is. */
    readonly user: string,
  ) {}

  static install(): PackedPackage {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-package-'));
    try {
      const user = path.join(directory, 'user');
      mkdirSync(user);
      writeFileSync(path.join(user, 'package.json'), '{ "name": "user", "version": "1.0.0" }');
      const tarball = pack(directory);
      npm(user, 'install', '--ignore-scripts', '--offline', '--no-audit', '--no-fund', tarball);
      return new PackedPackage(directory, user);
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  write(name: string, content: string): void {
    writeFileSync(path.join(this.user, name), content);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Packs a copy: what packing puts beside the sources must not be seen by other tests. */
function pack(directory: string): string {
  const tree = path.join(directory, 'tree');
  for (const name of TREE)
    cpSync(path.join(ROOT, name), path.join(tree, name), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(tree, 'node_modules'));
  npm(tree, 'pack', '--pack-destination', directory);
  if (existsSync(path.join(tree, 'prebuilds'))) throw new Error('packing has left prebuilds');
  const tarball = readdirSync(directory).find((name) => name.endsWith('.tgz'));
  return path.join(directory, tarball!);
}
