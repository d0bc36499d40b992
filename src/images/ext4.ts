/** Ext4 file systems in image files, by e2fsprogs. */
import type { Stats } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { ensureTools, type Tool } from '../guest/debian.js';
import { run, type RunOptions } from '../guest/run.js';
import { VexitError } from '../util/errors.js';
import { formatSize } from '../util/size.js';

// Absolute: these directories are not in every user's PATH.
const FSCK = '/sbin/e2fsck';
const RESIZE = '/sbin/resize2fs';

const E2FSPROGS: readonly Tool[] = [{ package: 'e2fsprogs', provides: '/sbin/mkfs.ext4' }];
const FAKEROOT: Tool = { package: 'fakeroot', provides: 'fakeroot' };

/**
 * - no space for root: a guest's programs run as root anyway
 * - tables written now: left to the guest's kernel, they are written at its first mount. Zeros
 *   become holes.
 * - blocks of a page, also in small file systems: Linux mounts no others with DAX
 */
const MKFS = ['/sbin/mkfs.ext4', '-q', '-F', '-m', '0', '-b', '4096'];
const EXTENDED = 'lazy_itable_init=0,lazy_journal_init=0';

/** Of root, or of whoever owns the directory it is made of, if that can be told. */
function rootOwner(directory: Stats | undefined): string {
  const { uid, gid } = process.getuid?.() === 0 && directory ? directory : { uid: 0, gid: 0 };
  return `root_owner=${uid}:${gid}`;
}

/** What a failed program's output means to whoever wanted the file system. */
function explain(error: unknown, bytes: number, from = ''): unknown {
  if (!(error instanceof VexitError) || error.code !== 'ERR_GUEST_BUILD') return error;
  const fail = (message: string, hint?: string): VexitError =>
    new VexitError('ERR_DISK', message, hint, { cause: error });
  const size = formatSize(bytes);
  if (/No space left on device/i.test(error.message)) {
    return fail('there is no space left on the host', 'free some, or choose another place');
  }
  if (/Could not allocate|populating file system/.test(error.message)) {
    if (error.message.includes('Permission denied')) {
      return fail(`not all of ${from} may be read`, 'run it as the owner of the files, or as root');
    }
    return fail(`${from} does not fit into ${size}`, 'give a larger size');
  }
  if (error.message.includes('does not look like a tar archive')) {
    return fail(`${from} is not a tar archive`, 'give a directory or a tar archive');
  }
  if (/too small|not enough space|larger than|smaller than minimum/i.test(error.message)) {
    return fail(`${size} are too little for the file system`, 'give a larger size');
  }
  return fail(error.message, error.hint);
}

/**
 * Owners come from what the files say if we are root. Otherwise fakeroot makes root the owner of
 * everything, and of what tar unpacks whoever the archive says.
 */
async function asRoot(options: RunOptions): Promise<string[]> {
  if (process.getuid?.() === 0) return [];
  await ensureTools([FAKEROOT], options);
  return ['fakeroot', '--'];
}

/** Unpacks $1 into $2, then the rest is a command. As one program, so that fakeroot remembers. */
const UNPACK_THEN = `
tar --extract --file "$1" --directory "$2" --numeric-owner --same-owner --same-permissions
shift 2
exec "$@"`;

/**
 * Makes an ext4 file system that fills an image, with the content of a directory or of a tar
 * archive.
 * @param image an existing file, alone in a directory where there is room for the archive's content
 * @throws VexitError ERR_DISK, ERR_GUEST_BUILD for missing programs
 */
export async function makeExt4(
  image: string,
  from: string | undefined,
  options: RunOptions,
): Promise<void> {
  await ensureTools(E2FSPROGS, options);
  const source = from === undefined ? undefined : await stat(from);
  const directory = source?.isDirectory() === true ? source : undefined;
  const mkfs = [...MKFS, '-E', `${EXTENDED},${rootOwner(directory)}`];
  let command = [...mkfs, image];
  if (from !== undefined && directory !== undefined) {
    command = [...(await asRoot(options)), ...mkfs, '-d', from, image];
  } else if (from !== undefined) {
    const content = path.join(path.dirname(image), 'content');
    await mkdir(content, { mode: 0o755 });
    const unpack = ['sh', '-ec', UNPACK_THEN, 'sh', from, content];
    command = [...(await asRoot(options)), ...unpack, ...mkfs, '-d', content, image];
  }
  const [program = '', ...args] = command;
  const { size } = await stat(image);
  try {
    await run(program, args, { ...options, ownGroup: true });
  } catch (error) {
    throw explain(error, size, from);
  }
}

const SUPERBLOCK = 1024;
const MAGIC = 0xef53;

/**
 * Size in bytes of the ext2, ext3 or ext4 file system in an image, by its superblock
 * (Documentation/filesystems/ext4/super.rst); undefined if there is none.
 */
export async function ext4Size(image: string): Promise<number | undefined> {
  const handle = await open(image, 'r');
  try {
    const block = Buffer.alloc(1024);
    const { bytesRead } = await handle.read(block, 0, block.length, SUPERBLOCK);
    if (bytesRead < block.length || block.readUInt16LE(0x38) !== MAGIC) return undefined;
    const wide = (block.readUInt32LE(0x60) & 0x80) !== 0; // INCOMPAT_64BIT
    const blocks = block.readUInt32LE(0x4) + (wide ? block.readUInt32LE(0x150) * 2 ** 32 : 0);
    const logBlockSize = block.readUInt32LE(0x18);
    const size = blocks * 2 ** (10 + logBlockSize);
    return logBlockSize <= 6 && Number.isSafeInteger(size) ? size : undefined;
  } finally {
    await handle.close();
  }
}

/** Options of a program that changes a file system: it is not to be ended half-way. */
const UNINTERRUPTED: RunOptions = { signal: new AbortController().signal, ownGroup: true };

/** Checks the file system, as resize2fs asks for, and repairs what is safe to repair. */
export async function checkExt4(image: string): Promise<void> {
  await ensureTools(E2FSPROGS, UNINTERRUPTED);
  try {
    await run(FSCK, ['-f', '-p', image], { ...UNINTERRUPTED, statuses: [0, 1] });
  } catch (error) {
    throw new VexitError(
      'ERR_DISK',
      `the file system in ${image} is damaged`,
      `look at it with: e2fsck -f ${image}`,
      { cause: error },
    );
  }
}

/** Makes the file system as large as this, in bytes; moves what is in the way. */
export async function resizeExt4(image: string, bytes: number): Promise<void> {
  try {
    await run(RESIZE, [image, `${Math.floor(bytes / 1024)}K`], UNINTERRUPTED);
  } catch (error) {
    throw explain(error, bytes);
  }
}
