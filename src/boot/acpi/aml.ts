/**
 * A small builder for ACPI machine language.
 *
 * ACPI 6.5, section 20.2 (AML grammar) and 6.4 (resource data types). Each function returns the
 * bytes of one term; a term that has a list takes its members as arguments. The encodings are the
 * ones iasl chooses, so that tests can compare byte for byte.
 */

/** Bytes of one or more AML terms. */
export type Aml = Uint8Array<ArrayBuffer>;

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const QWORD_PREFIX = 0x0e;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const METHOD_OP = 0x14;
const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;
const EXTENDED_OP_PREFIX = 0x5b;
const ROOT_CHARACTER = 0x5c;
const DEVICE_OP = 0x82;
const RETURN_OP = 0xa4;

/** Joins terms. */
export function concat(...terms: readonly ArrayLike<number>[]): Aml {
  const bytes = new Uint8Array(terms.reduce((sum, term) => sum + term.length, 0));
  let at = 0;
  for (const term of terms) {
    bytes.set(term, at);
    at += term.length;
  }
  return bytes;
}

/** Little-endian bytes of a number below 2^53. */
export function littleEndian(value: number, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);
}

const ascii = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0));

/** PkgLength (20.2.4): the length that includes its own one to four bytes. */
function packageLength(content: number): number[] {
  if (content + 1 <= 0x3f) return [content + 1];
  for (const extra of [1, 2, 3]) {
    const total = content + 1 + extra;
    if (total < 2 ** (4 + 8 * extra)) {
      return [(extra << 6) | (total % 16), ...littleEndian(Math.floor(total / 16), extra)];
    }
  }
  throw new RangeError(`${content} bytes do not fit an AML package`);
}

/** An opcode, the length of what follows, and what follows. */
function sized(opcode: readonly number[], ...terms: readonly ArrayLike<number>[]): Aml {
  const content = concat(...terms);
  return concat(opcode, packageLength(content.length), content);
}

/** NameString: segments of up to four characters, joined by dots, with an optional root `\`. */
export function nameString(path: string): Aml {
  const root = path.startsWith('\\') ? [ROOT_CHARACTER] : [];
  const rest = path.slice(root.length);
  const segments = rest === '' ? [] : rest.split('.');
  for (const segment of segments) {
    if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) {
      throw new RangeError(`"${segment}" is not an ACPI name`);
    }
  }
  const names = segments.flatMap((segment) => ascii(segment.padEnd(4, '_')));
  switch (segments.length) {
    case 0:
      return concat(root, [0]);
    case 1:
      return concat(root, names);
    case 2:
      return concat(root, [DUAL_NAME_PREFIX], names);
    default:
      return concat(root, [MULTI_NAME_PREFIX, segments.length], names);
  }
}

/** The shortest constant for an unsigned integer. */
export function integer(value: number): Aml {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`AML integer ${value}`);
  if (value === 0) return Uint8Array.of(ZERO_OP);
  if (value === 1) return Uint8Array.of(ONE_OP);
  if (value <= 0xff) return Uint8Array.of(BYTE_PREFIX, value);
  if (value <= 0xffff) return Uint8Array.of(WORD_PREFIX, ...littleEndian(value, 2));
  if (value <= 0xffff_ffff) return Uint8Array.of(DWORD_PREFIX, ...littleEndian(value, 4));
  return Uint8Array.of(QWORD_PREFIX, ...littleEndian(value, 8));
}

/** A null-terminated ASCII string. */
export function string(text: string): Aml {
  // eslint-disable-next-line no-control-regex -- AsciiChar is 0x01 to 0x7f
  if (!/^[\x01-\x7f]*$/.test(text)) throw new RangeError('AML strings are ASCII');
  return Uint8Array.of(STRING_PREFIX, ...ascii(text), 0);
}

/** The compressed form of an id such as "PNP0A03" (ACPI 19.3.4, EISAID). */
export function eisaId(id: string): Aml {
  const match = /^([A-Z])([A-Z])([A-Z])([0-9A-F]{4})$/.exec(id);
  if (match === null) throw new RangeError(`"${id}" is not an EISA id`);
  const [letters, product] = [match.slice(1, 4), Number.parseInt(match[4]!, 16)];
  const vendor = letters.reduce((sum, letter) => sum * 32 + letter.charCodeAt(0) - 0x40, 0);
  // Big-endian in the constant, whatever its value: never one of the shorter forms.
  return Uint8Array.of(DWORD_PREFIX, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff);
}

/** `Name (path, value)`. */
export function name(path: string, value: Aml): Aml {
  return concat([NAME_OP], nameString(path), value);
}

/** `Scope (path) {...}`. */
export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return sized([SCOPE_OP], nameString(path), ...terms);
}

/** `Device (path) {...}`. */
export function device(path: string, ...terms: readonly Aml[]): Aml {
  return sized([EXTENDED_OP_PREFIX, DEVICE_OP], nameString(path), ...terms);
}

/** `Package () {...}` of constants, strings, buffers, packages or names. */
export function packageOf(...elements: readonly Aml[]): Aml {
  if (elements.length > 255) throw new RangeError('an AML package has at most 255 elements');
  return sized([PACKAGE_OP], [elements.length], ...elements);
}

/** `Buffer () {...}`. */
export function buffer(bytes: ArrayLike<number>): Aml {
  return sized([BUFFER_OP], integer(bytes.length), bytes);
}

/** `Method (path, parameters, NotSerialized) {...}`. */
export function method(path: string, parameters: number, ...terms: readonly Aml[]): Aml {
  return sized([METHOD_OP], nameString(path), [parameters & 7], ...terms);
}

/** `Return (value)`. */
export function returnValue(value: Aml): Aml {
  return concat([RETURN_OP], value);
}
