/** Where the unix sockets of virtio-vsock are, and whether they can be there. */
import { closeSync, lstatSync, mkdtempSync, statSync, unlinkSync, type Stats } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { native } from '../../kvm/native.js';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';

/** `sun_path` without its end. */
const ADDRESS_BYTES = 107;
const LONGEST_PORT = '_4294967295';

/** The socket of a port of the host. */
export function hostPortPath(base: string, port: number): string {
  return `${base}_${port}`;
}

/** True when a path fits into a socket's address. */
export function fitsSocketAddress(file: string): boolean {
  return Buffer.byteLength(file) <= ADDRESS_BYTES;
}

/**
 * Checks what can be said of a path without looking at it.
 * @throws VexitError ERR_CONFIG
 */
export function checkSocketPath(file: string): void {
  if (file === '' || file.includes('\0')) {
    throw new VexitError('ERR_CONFIG', 'the path of the vsock socket is empty or has a NUL');
  }
  const limit = ADDRESS_BYTES - LONGEST_PORT.length;
  const length = Buffer.byteLength(path.resolve(file));
  if (length > limit) {
    throw new VexitError(
      'ERR_CONFIG',
      `the path of the vsock socket has ${length} bytes`,
      `give one of at most ${limit}: with a port behind it, it has to fit into a socket's address`,
    );
  }
}

function lstatIfThere(file: string): Stats | undefined {
  try {
    return lstatSync(file, { throwIfNoEntry: false });
  } catch (error) {
    throw new VexitError('ERR_CONFIG', `cannot use ${file}: ${errorMessage(error)}`);
  }
}

/**
 * True when the program has gone whose socket this was. The kernel says so before it compares the
 * kinds of the sockets, and connects no packet socket to one for streams: who listens does not notice.
 */
function isAbandoned(file: string): boolean {
  try {
    closeSync(native().packetConnect(file, 0));
    return false;
  } catch (error) {
    return systemCode(error) === 'ECONNREFUSED';
  }
}

/** Removes a socket of this user's whose program has gone; leaves anything else alone. */
export function removeAbandonedSocket(file: string): void {
  try {
    const found = lstatSync(file);
    if (found.isSocket() && found.uid === process.getuid?.() && isAbandoned(file)) unlinkSync(file);
  } catch {
    // Not there, or not ours to remove.
  }
}

/**
 * Makes sure that a socket can be made at a path: removes one of this user's whose program has gone.
 * @throws VexitError ERR_CONFIG
 */
export function claimSocketPath(file: string): void {
  const directory = path.dirname(path.resolve(file));
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new VexitError('ERR_CONFIG', `${directory} is not a directory`, 'make it first');
  }
  const found = lstatIfThere(file);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new VexitError('ERR_CONFIG', `${file} exists and is no socket`, 'give another path');
  }
  if (!isAbandoned(file)) {
    throw new VexitError('ERR_CONFIG', `${file} is in use by another program`, 'give another path');
  }
  if (found.uid !== process.getuid?.()) {
    throw new VexitError('ERR_CONFIG', `${file} is another user's`, 'give another path');
  }
  try {
    unlinkSync(file);
  } catch (error) {
    throw new VexitError('ERR_CONFIG', `cannot remove the old ${file}: ${errorMessage(error)}`);
  }
}

/**
 * Makes a directory for sockets that only this process is to know.
 * @throws VexitError ERR_CONFIG when no directory can be made, or only one whose path is too long
 */
export function makePrivateDirectory(): string {
  const problems: string[] = [];
  for (const base of [process.env.XDG_RUNTIME_DIR, tmpdir(), '/tmp']) {
    if (base === undefined || base === '') continue;
    const prefix = path.join(base, 'vexit-');
    try {
      checkSocketPath(path.join(`${prefix}123456`, 'vsock'));
      return mkdtempSync(prefix);
    } catch (error) {
      problems.push(errorMessage(error));
    }
  }
  throw new VexitError(
    'ERR_CONFIG',
    `no place for the vsock socket: ${problems.join('; ')}`,
    'give its path, or set XDG_RUNTIME_DIR to a directory of yours',
  );
}
