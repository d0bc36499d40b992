/** Readers of mappings: objects with known keys, and mappings whose keys people choose. */
import { VexitError } from '../../util/errors.js';
import { seen, type Reader } from './readers.js';
import { suggest } from './suggestion.js';

/** A key of an object. */
export interface Field<T> {
  readonly reader: Reader<T>;
  readonly description: string;
}

export function field<T>(reader: Reader<T>, description: string): Field<T> {
  return { reader, description };
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
