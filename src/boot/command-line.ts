/** The kernel command line: checked, then written to CMDLINE_ADDRESS with a NUL behind it. */
import type { GuestMemory } from '../memory/guest-memory.js';
import { CMDLINE_ADDRESS, CMDLINE_MAX_SIZE } from '../memory/layout.js';
import { VexitError } from '../util/errors.js';

/** Longest command line of a kernel that does not say: COMMAND_LINE_SIZE of x86 less the NUL. */
export const CMDLINE_DEFAULT_LIMIT = 2047;

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\0-\x08\n-\x1f\x7f]/;
/** A lone surrogate, or what a decoder leaves where the bytes were not UTF-8. */
const MALFORMED = /\p{Surrogate}|\ufffd/u;

/**
 * The command line as bytes, without the NUL.
 * @param limit the longest that the kernel takes, in bytes without the NUL
 * @throws VexitError ERR_CMDLINE
 */
export function encodeCommandLine(text: string, limit: number): Uint8Array {
  const control = CONTROL.exec(text);
  if (control !== null) {
    const name = { '\0': 'a NUL', '\n': 'a newline', '\r': 'a carriage return' }[control[0]];
    throw new VexitError(
      'ERR_CMDLINE',
      `the kernel command line has ${name ?? 'a control character'} at position ${control.index}`,
      'separate the parameters by spaces',
    );
  }
  if (MALFORMED.test(text)) {
    throw new VexitError(
      'ERR_CMDLINE',
      'the kernel command line is not valid UTF-8',
      'remove the bytes that are not text',
    );
  }
  const bytes = new TextEncoder().encode(text);
  const most = Math.min(limit, CMDLINE_MAX_SIZE - 1);
  if (bytes.length > most) {
    throw new VexitError(
      'ERR_CMDLINE',
      `the kernel command line has ${bytes.length} bytes, this kernel takes at most ${most}`,
      'shorten it',
    );
  }
  return bytes;
}

/** Writes an encoded command line and its NUL. */
export function writeCommandLine(memory: GuestMemory, bytes: Uint8Array): void {
  memory.write(CMDLINE_ADDRESS, bytes);
  memory.setUint8(CMDLINE_ADDRESS + bytes.length, 0);
}
