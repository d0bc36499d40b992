/**
 * Readers of values: each knows what a value may be, as a JSON schema for editors, and reads it, so that
 * the two cannot differ. A value that cannot be used is reported at its place and read as undefined.
 */
import { VexitError } from '../../util/errors.js';
import { parseSize } from '../../util/size.js';
import type { Place } from './document.js';
import { suggest } from './suggestion.js';

/** Keywords of JSON schema, draft 7. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Reads values of one kind. */
export interface Reader<T> {
  readonly schema: JsonSchema;
  read(at: Place): T | undefined;
}

/** What a value in the file becomes. */
export type Read<R> = R extends Reader<infer T> ? T : never;

/** What there is, in words. */
export function seen(at: Place): string {
  const { kind } = at;
  if (kind === 'map') return 'a mapping';
  if (kind === 'list') return 'a list';
  return kind === 'nothing' ? 'nothing' : 'a value';
}

/** A scalar's text; other things are reported. */
function scalarText(at: Place, expected: string, example: string): string | undefined {
  if (at.kind !== 'scalar') {
    at.problem(`${seen(at)} instead of ${expected}`, `write ${example}`);
    return undefined;
  }
  const scalar = at.scalar();
  if (typeof scalar?.value !== 'boolean' || scalar.put === true) return scalar?.text;
  at.problem(
    `${scalar.text} instead of ${expected}`,
    `write ${example}, or quote "${scalar.text}"`,
  );
  return undefined;
}

/**
 * Text that a parser understands.
 * @param parse throws ERR_CONFIG for what it does not
 * @param example what is written for instance, after "write"
 */
export function parsed<T>(
  parse: (text: string, at: Place) => T,
  example: string,
  schema: JsonSchema = { type: ['string', 'number'] },
): Reader<T> {
  return {
    schema: { examples: [example], ...schema },
    read: (at) => {
      const text = scalarText(at, 'text', example);
      if (text === undefined) return undefined;
      return at.attempt(() => parse(text, at));
    },
  };
}

/** Any text but an empty one. */
export function text(example: string): Reader<string> {
  return parsed(
    (value) => {
      if (value === '') throw new VexitError('ERR_CONFIG', 'the text is empty', `write ${example}`);
      if (value.includes('\0')) throw new VexitError('ERR_CONFIG', 'the text has a NUL in it');
      return value;
    },
    example,
    { type: ['string', 'number'], minLength: 1 },
  );
}

/** Editors see `${NAME}` where a variable's value is going to be. */
function orVariable(schema: JsonSchema): JsonSchema {
  return { anyOf: [schema, { type: 'string', pattern: '\\$\\{' }] };
}

export const flag: Reader<boolean> = {
  schema: orVariable({ type: 'boolean' }),
  read: (at) => {
    const scalar = at.kind === 'scalar' ? at.scalar() : { value: null, text: seen(at) };
    if (scalar === undefined) return undefined;
    if (typeof scalar.value === 'boolean') return scalar.value;
    at.problem(`${JSON.stringify(scalar.text)} is not true or false`, 'write true or false');
    return undefined;
  },
};

/** A whole number. */
export function integer(from: number, to: number): Reader<number> {
  return {
    schema: orVariable({ type: 'integer', minimum: from, maximum: to }),
    read: (at) => {
      const scalar = at.kind === 'scalar' ? at.scalar() : { value: null, text: seen(at) };
      if (scalar === undefined) return undefined;
      const { value } = scalar;
      if (Number.isInteger(value) && (value as number) >= from && (value as number) <= to) {
        return value as number;
      }
      at.problem(
        `${JSON.stringify(scalar.text)} is not a number from ${from} to ${to}`,
        `write for example ${from}`,
      );
      return undefined;
    },
  };
}

/** Bytes, as a number or as "512M". */
export function size(example: string, from = 1): Reader<number> {
  return parsed(
    (value) => {
      const bytes = parseSize(value);
      if (bytes !== undefined && bytes >= from) return bytes;
      const what = bytes === undefined ? 'is not a size' : 'is too small';
      throw new VexitError(
        'ERR_CONFIG',
        `${JSON.stringify(value)} ${what}`,
        `write for example ${example}`,
      );
    },
    example,
    { type: ['string', 'integer'] },
  );
}

/** One of some words. */
export function choice<T extends string>(...words: readonly T[]): Reader<T> {
  const list = words.join(', ');
  return {
    schema: orVariable({ enum: words }),
    read: (at) => {
      const value = scalarText(at, `one of ${list}`, words[0]!);
      if (value === undefined) return undefined;
      const found = words.find((word) => word === value);
      if (found !== undefined) return found;
      const near = suggest(value, words);
      const hint = near === undefined ? `write one of: ${list}` : `did you mean ${near}?`;
      at.problem(`${JSON.stringify(value)} is not known`, hint);
      return undefined;
    },
  };
}

export function list<T>(item: Reader<T>, schema: JsonSchema = {}): Reader<T[]> {
  return {
    schema: { type: 'array', items: item.schema, ...schema },
    read: (at) => {
      if (at.kind !== 'list') {
        at.problem(`${seen(at)} instead of a list`, 'write [a, b], or lines of "- a"');
        return undefined;
      }
      return at
        .items()
        .map((one) => item.read(one))
        .filter((one) => one !== undefined);
    },
  };
}

/** A list, or one item without it. */
export function listOrOne<T>(item: Reader<T>): Reader<T[]> {
  const many = list(item);
  return byKind({
    list: many,
    other: { schema: item.schema, read: (at) => asList(item.read(at)) },
  });
}

function asList<T>(value: T | undefined): T[] | undefined {
  return value === undefined ? undefined : [value];
}

/** Different readers for what is written in different ways. */
export function byKind<T>(readers: {
  readonly list?: Reader<T>;
  readonly map?: Reader<T>;
  readonly other: Reader<T>;
}): Reader<T> {
  const all = [readers.other, readers.list, readers.map].filter((one) => one !== undefined);
  return {
    schema: { anyOf: all.map(({ schema }) => schema) },
    read: (at) => {
      const { kind } = at;
      const own = kind === 'list' || kind === 'map' ? readers[kind] : undefined;
      return (own ?? readers.other).read(at);
    },
  };
}

/** A value with its place, for checks that come later. */
export interface Located<T> {
  readonly value: T;
  readonly at: Place;
}

export function located<T>(reader: Reader<T>): Reader<Located<T>> {
  return {
    schema: reader.schema,
    read: (at) => {
      const value = reader.read(at);
      return value === undefined ? undefined : { value, at };
    },
  };
}

/** The value made into something else, or refused with ERR_CONFIG; undefined when that was reported. */
export function mapped<T, U>(
  reader: Reader<T>,
  change: (value: T, at: Place) => U | undefined,
): Reader<U> {
  return {
    schema: reader.schema,
    read: (at) => {
      const value = reader.read(at);
      if (value === undefined) return undefined;
      return at.attempt(() => change(value, at));
    },
  };
}
