/** git for a guest: the host's, with the libraries it needs and their loader. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const LOADER = 'ld-linux-x86-64.so.2';

/** The host's git and its libraries; undefined where there is none that is linked dynamically. */
function filesOfGit(): { git: string; libraries: string[] } | undefined {
  const git = spawnSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).stdout.trim();
  if (git === '') return undefined;
  const { stdout, status } = spawnSync('ldd', [git], { encoding: 'utf8' });
  const libraries = Array.from(stdout.matchAll(/(\/\S+) \(0x/g), ([, file]) => file!);
  return status === 0 && libraries.some((file) => file.endsWith(LOADER))
    ? { git, libraries }
    : undefined;
}

/** Whether {@link copyGit} has anything to copy. */
export const hasGit = filesOfGit() !== undefined;

/**
 * Makes a directory that has git and all it needs, as a program `git` for where it will be seen.
 * @param seenAt path of the directory in the guest
 */
export function copyGit(directory: string, seenAt: string): void {
  const { git, libraries } = filesOfGit()!;
  mkdirSync(directory);
  for (const file of libraries) copyFileSync(file, path.join(directory, path.basename(file)));
  copyFileSync(git, path.join(directory, 'git.bin'));
  const start = `exec ${seenAt}/${LOADER} --library-path ${seenAt} --argv0 git ${seenAt}/git.bin`;
  // A clone runs the other side by its name.
  for (const [name, command] of [
    ['git', '"$@"'],
    ['git-upload-pack', 'upload-pack "$@"'],
  ]) {
    const script = `#!/bin/sh\nexport GIT_EXEC_PATH=${seenAt}\n${start} ${command}\n`;
    writeFileSync(path.join(directory, name!), script, { mode: 0o755 });
  }
}
