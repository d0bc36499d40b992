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

/** A key of an object. */
export interface Field<T> {
  readonly reader: Reader<T>;
  readonly description: string;
}

export function field<T>(reader: Reader<T>, description: string): Field<T> {
  return { reader, description };
}

/** What there is, in words. */
function seen(at: Place): string {
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

/** What the fields of an object are read as; all of them may be missing. */
export type Values<F extends Readonly<Record<string, Field<unknown>>>> = {
  -readonly [K in keyof F]?: F[K] extends Field<infer T> ? T : never;
};

/**
 * A mapping with known keys. One whose name begins with `x-` is for the people who write the file. Keys
 * without a value are as if they were not there.
 * @param others what other tools call a key, in lower case without separators
 */
export function object<F extends Readonly<Record<string, Field<unknown>>>>(
  fields: F,
  {
    required = [],
    others = {},
    what,
  }: {
    readonly required?: readonly (keyof F & string)[];
    readonly others?: Readonly<Record<string, string>>;
    readonly what: string;
  },
): Reader<Values<F>> {
  const names = Object.keys(fields);
  return {
    schema: {
      type: required.length > 0 ? 'object' : ['object', 'null'],
      properties: Object.fromEntries(
        names.map((name) => [
          name,
          { ...fields[name]!.reader.schema, description: fields[name]!.description },
        ]),
      ),
      patternProperties: { '^x-': {} },
      additionalProperties: false,
      ...(required.length > 0 ? { required } : {}),
    },
    read: (at) => {
      const { kind } = at;
      if (kind === 'scalar' || kind === 'list') {
        at.problem(
          `${seen(at)} instead of ${what}`,
          `write keys and values, such as ${names[0]!}: ...`,
        );
        return undefined;
      }
      const values: Record<string, unknown> = {};
      for (const { key, keyOffset, value } of at.entries()) {
        if (key.startsWith('x-')) continue;
        const known = Object.hasOwn(fields, key) ? fields[key] : undefined;
        if (known === undefined) {
          const near = suggest(key, names, others);
          const hint =
            near === undefined ? `known keys are ${names.join(', ')}` : `did you mean ${near}?`;
          const message = `${what} has no key ${JSON.stringify(key)}`;
          at.document.problem(keyOffset, value.path, message, hint);
          if (near !== undefined) values[near] ??= undefined;
        } else if (value.lost) {
          values[key] = undefined;
        } else if (value.kind === 'nothing' && !allowsNothing(known.reader)) {
          at.document.problem(
            keyOffset,
            value.path,
            'there is no value',
            'write one, or leave the key out',
          );
        } else {
          values[key] = known.reader.read(value);
          continue;
        }
        // What was refused is there all the same: nobody needs to hear that it is missing.
        if (known !== undefined) values[key] ??= undefined;
      }
      for (const key of required) {
        if (Object.hasOwn(values, key)) continue;
        at.problem(`${what} has no ${key}`, `add ${key}: ...`);
        values[key] = undefined;
      }
      return values as Values<F>;
    },
  };
}

/** An object all of whose values could be read; undefined when one could not, which has been reported. */
export function whole<T extends object>(
  reader: Reader<T>,
): Reader<{ [K in keyof T]: Exclude<T[K], undefined> }> {
  return {
    schema: reader.schema,
    read: (at) => {
      const values = reader.read(at);
      if (values === undefined || Object.values(values).includes(undefined)) return undefined;
      return values as { [K in keyof T]: Exclude<T[K], undefined> };
    },
  };
}

function allowsNothing({ schema }: Reader<unknown>): boolean {
  return Array.isArray(schema.type) && schema.type.includes('null');
}

/**
 * A mapping whose keys people choose.
 * @param key throws ERR_CONFIG for a key that cannot be one
 */
export function mapping<T>(
  item: Reader<T>,
  {
    pattern,
    key,
    what,
  }: { readonly pattern: string; readonly key: (text: string) => void; readonly what: string },
): Reader<Map<string, T>> {
  return {
    schema: {
      type: 'object',
      patternProperties: { [pattern]: item.schema },
      additionalProperties: false,
    },
    read: (at) => {
      if (at.kind !== 'map') {
        at.problem(`${seen(at)} instead of ${what}`, 'write name: ... lines');
        return undefined;
      }
      const values = new Map<string, T>();
      for (const { key: name, keyOffset, value } of at.entries()) {
        try {
          key(name);
        } catch (error) {
          if (!(error instanceof VexitError)) throw error;
          at.document.problem(keyOffset, value.path, error.message, error.hint);
          continue;
        }
        if (value.lost) continue;
        if (value.kind === 'nothing' && !allowsNothing(item)) {
          at.document.problem(
            keyOffset,
            value.path,
            'there is no value',
            'write one, or leave the key out',
          );
          continue;
        }
        const read = item.read(value);
        if (read !== undefined) values.set(name, read);
      }
      return values;
    },
  };
}
