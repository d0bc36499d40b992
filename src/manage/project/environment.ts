/** The environment of a command: `{NAME: value}` or `[NAME=VALUE]`. */
import { VexitError } from '../../util/errors.js';
import type { Place } from './document.js';
import { mapping } from './object-readers.js';
import { byKind, list, mapped, text, type Reader } from './readers.js';

/** NAME to value. */
export type Environment = Readonly<Record<string, string>>;

function checkName(name: string): void {
  if (name !== '' && !/[=\0]/.test(name)) return;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(name)} is not a name of a variable`,
    'write NAME: value',
  );
}

/** Any scalar as it is written; nothing is an empty text. */
const value: Reader<string> = {
  schema: { type: ['string', 'number', 'boolean', 'null'] },
  read: (at: Place) => {
    if (at.kind === 'map' || at.kind === 'list') {
      at.problem('a value is text', 'quote it');
      return;
    }
    return at.kind === 'nothing' ? '' : at.scalar()?.text;
  },
};

export const environment: Reader<Environment> = byKind<Environment>({
  other: mapped(
    mapping(value, { pattern: '^[^=]+$', key: checkName, what: 'variables' }),
    (values) => Object.fromEntries(values),
  ),
  list: mapped(list(text('NAME=value')), (items) => {
    const entries = items.map((item) => {
      const equals = item.indexOf('=');
      if (equals < 1)
        throw new VexitError('ERR_CONFIG', `${item} is not NAME=VALUE`, 'write NAME=VALUE');
      return [item.slice(0, equals), item.slice(equals + 1)] as const;
    });
    return Object.fromEntries(entries);
  }),
});
