/** Errors of operations in the guest. */
import os from 'node:os';
import { VexitError } from '../util/errors.js';

/** Longest text of the guest's that goes into a message. */
const TEXT_MAX = 300;

const NAMES = new Map(Object.entries(os.constants.errno).map(([name, number]) => [number, name]));
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'no permission',
  EBUSY: 'busy',
  EEXIST: 'it exists',
  EINVAL: 'not valid',
  EISDIR: 'it is a directory',
  ENODEV: 'there is no such device or file system',
  ENOENT: 'there is none',
  ENOEXEC: 'it is no program',
  ENOMEM: 'no memory left',
  ENOSPC: 'no space left',
  ENOTDIR: 'not a directory',
  EPERM: 'not permitted',
  EROFS: 'read-only',
};

/** Text of the guest as one short line that a terminal can show. */
function plain(text: string): string {
  return text.replace(/[^\x20-\x7e\xa0-\ud7ff\ue000-\uffff]+/gu, '?').slice(0, TEXT_MAX);
}

/**
 * What an ERROR frame says, as an error whose cause has the `code` of a system error ("ENOENT").
 * @param payload u32 errno, text
 */
export function guestError(payload: Buffer): VexitError {
  const errno = payload.length >= 4 ? payload.readUInt32LE(0) : 0;
  const code = NAMES.get(errno) ?? `errno ${errno}`;
  const text = plain(payload.toString('utf8', 4));
  const cause = Object.assign(new Error(code), { code });
  return new VexitError('ERR_AGENT', `guest: ${text}: ${REASONS[code] ?? code}`, undefined, {
    cause,
  });
}

/** The connection has ended, or what came is not the protocol. */
export function brokenConnection(what: string): VexitError {
  return new VexitError('ERR_AGENT', `the guest's agent ${what}`);
}
