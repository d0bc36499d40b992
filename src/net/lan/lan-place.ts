/** Where LANs are on the host: directories that only their user can enter. */
import { existsSync, lstatSync, mkdirSync, type Stats } from 'node:fs';
import path from 'node:path';
import { VexitError, errorMessage } from '../../util/errors.js';

/** `sun_path` without its end. */
const ADDRESS_BYTES = 107;
const LONGEST_SOCKET = '254.sock';

/** Who joins or clears a LAN locks this file of its directory. */
export const LOCK_NAME = 'lock';

function userId(): number {
  return process.getuid?.() ?? 0;
}

function statOf(directory: string): Stats | undefined {
  try {
    return lstatSync(directory, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** True for a directory that is this user's and nobody else's. */
function isPrivate(directory: string): boolean {
  const stats = statOf(directory);
  return stats?.isDirectory() === true && stats.uid === userId() && (stats.mode & 0o077) === 0;
}

/** `$XDG_RUNTIME_DIR`, or what it would be, or a directory in /tmp. */
function runtimeDirectory(): string {
  const xdg = process.env.XDG_RUNTIME_DIR;
  if (xdg !== undefined && path.isAbsolute(xdg)) return xdg;
  const usual = `/run/user/${userId()}`;
  return isPrivate(usual) ? usual : `/tmp/vexit-${userId()}`;
}

function makePrivate(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new VexitError(
        'ERR_CONFIG',
        `no place for LANs: ${errorMessage(error)}`,
        'set XDG_RUNTIME_DIR to a directory of yours',
      );
    }
  }
  // Who removes a LAN may have been quicker: then it is not there to be locked, and made again.
  if (isPrivate(directory) || !existsSync(directory)) return;
  throw new VexitError(
    'ERR_CONFIG',
    `${directory} is not a directory that only you can enter`,
    'remove it, or set XDG_RUNTIME_DIR to a directory of yours',
  );
}

/** The directories that are made for a LAN, each in the one before or in $XDG_RUNTIME_DIR. */
function ownDirectories(lan: string): string[] {
  const runtime = runtimeDirectory();
  const parts = ['vexit', 'vexit/lan', `vexit/lan/${lan}`].map((part) => path.join(runtime, part));
  return runtime.startsWith('/tmp/vexit-') ? [runtime, ...parts] : parts;
}

/** Where a LAN is if it is there. */
export function lanPath(lan: string): string {
  return path.join(runtimeDirectory(), 'vexit', 'lan', lan);
}

/** Whether a LAN is there, and what is in its directory is this user's. */
export function isLanPrivate(lan: string): boolean {
  return ownDirectories(lan).every(isPrivate);
}

/** Of a LAN's directory. */
export function lockPath(directory: string): string {
  return path.join(directory, LOCK_NAME);
}

/**
 * The directory of a LAN, made if it is not there.
 * @throws VexitError ERR_CONFIG
 */
export function lanDirectory(lan: string): string {
  const directory = lanPath(lan);
  const longest = Buffer.byteLength(path.join(directory, LONGEST_SOCKET));
  if (longest > ADDRESS_BYTES) {
    throw new VexitError(
      'ERR_CONFIG',
      `the sockets of LAN ${lan} would have paths of ${longest} bytes, above ${ADDRESS_BYTES}`,
      'give a shorter name, or set XDG_RUNTIME_DIR to a shorter path',
    );
  }
  for (const part of ownDirectories(lan)) makePrivate(part);
  return directory;
}
