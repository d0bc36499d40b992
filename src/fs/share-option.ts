/** `HOSTDIR:GUESTPATH[:ro]`: what a user asks to be shared. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { VexitError, errorMessage, systemCode } from '../util/errors.js';

/** A directory to share; plain data. */
export interface Share {
  /** Absolute path on the host. */
  readonly hostPath: string;
  /** Absolute path in the guest, without `.`, `..` and repeated slashes. */
  readonly guestPath: string;
  readonly readOnly: boolean;
}

const HINT = 'give HOSTDIR:GUESTPATH or HOSTDIR:GUESTPATH:ro, such as .:/mnt';

function wrong(text: string, what: string, hint = HINT): VexitError {
  return new VexitError('ERR_CONFIG', `--share ${text}: ${what}`, hint);
}

/**
 * Takes the text of an option apart and looks whether there is such a directory. A colon in a path
 * of the host is possible; the last ones count.
 * @param base what the host's path is relative to
 * @throws VexitError ERR_CONFIG with one line that says what is wrong
 */
export function parseShareOption(text: string, base = process.cwd()): Share {
  if (text.includes('\0') || text.includes('\n')) {
    throw wrong(JSON.stringify(text), 'a path has no such characters');
  }
  const parts = text.split(':');
  let readOnly = false;
  const last = parts.at(-1);
  if (parts.length > 2 && (last === 'ro' || last === 'rw')) {
    readOnly = last === 'ro';
    parts.pop();
  }
  const guest = parts.length > 1 ? parts.pop()! : '';
  const host = parts.join(':');
  if (host === '' || guest === '') throw wrong(text, 'one of the two paths is missing');
  return { hostPath: hostPathOf(text, host, base), guestPath: guestPathOf(text, guest), readOnly };
}

function guestPathOf(text: string, guest: string): string {
  if (!guest.startsWith('/')) throw wrong(text, `the guest's path ${guest} does not begin with /`);
  if (guest.split('/').includes('..')) throw wrong(text, `the guest's path ${guest} has .. in it`);
  const normal = path.posix.normalize(guest).replace(/(.)\/$/, '$1');
  if (normal === '/') throw wrong(text, "a share cannot cover the guest's root directory");
  return normal;
}

function hostPathOf(text: string, host: string, base: string): string {
  const absolute = path.resolve(base, host);
  let directory: boolean;
  try {
    directory = statSync(absolute).isDirectory();
  } catch (error) {
    const missing = systemCode(error) === 'ENOENT';
    const what = missing ? `there is no directory ${host}` : errorMessage(error);
    throw wrong(text, what, 'the directory of the host has to exist');
  }
  if (!directory) throw wrong(text, `${host} is not a directory`);
  return absolute;
}

/**
 * A tag for the n-th share of a machine, by which its guest mounts it (virtio 1.2, 5.11.4): 36 bytes
 * at most, so not the path.
 */
export function shareTag(index: number): string {
  return `share${index}`;
}
