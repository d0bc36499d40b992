/** Errors of file systems: what a guest gets to see is an errno. */
import { constants } from 'node:os';
import { systemCode } from '../util/errors.js';

/** A name of an errno, such as ENOENT. */
export type ErrnoName = keyof typeof constants.errno;

/** Numbers of Linux by name; host and guest are of the same architecture. */
export const errno: Readonly<Record<ErrnoName, number>> = constants.errno;

/** An error whose errno the guest is to see. Throw one, or anything with such a `code`. */
export class FsError extends Error {
  override readonly name = 'FsError';
  readonly errno: number;

  constructor(
    readonly code: string,
    number = (errno as Record<string, number>)[code] ?? errno.EIO,
  ) {
    super(code);
    this.errno = number;
  }
}

const known = new Map<number, FsError>();
const names = new Map<number, string>();
for (const [name, number] of Object.entries(errno)) if (!names.has(number)) names.set(number, name);

/** The error for a number: always the same object, so that it costs nothing to throw. */
export function errnoError(number: number): FsError {
  let error = known.get(number);
  if (error === undefined) {
    error = new FsError(names.get(number) ?? 'EIO', number);
    known.set(number, error);
  }
  return error;
}

/** The error for a name, always the same object. */
export function fsError(name: ErrnoName): FsError {
  return errnoError(errno[name]);
}

/** The errno for whatever was thrown, or undefined when that says nothing about files. */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof FsError) return error.errno;
  const code = systemCode(error);
  return code === undefined ? undefined : (errno as Record<string, number>)[code];
}
