/**
 * Reads arguments that need no explaining. Loading yargs and letting it parse takes a fifth of the
 * time from the start of Node.js to the guest's first instruction; what is typed every day is
 * `--name value`. Anything else - help, mistakes, odd spellings - is left to yargs, so there is one
 * place that complains and explains, and one table of options for both.
 */
import type { Options } from 'yargs';

type Value = string | number | boolean | string[];

const NUMBER = /^[0-9]+(\.[0-9]+)?$/;

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The value an option gets from its text; undefined when yargs had better look at it. */
function convert(option: Options, text: string): string | number | undefined {
  // yargs takes a dash for the next option, and quotation marks off.
  if (text === '' || /^[-'"]/.test(text)) return undefined;
  if (option.choices !== undefined) return option.choices.includes(text) ? text : undefined;
  if (option.type === 'number') return NUMBER.test(text) ? Number(text) : undefined;
  return option.type === 'string' ? text : undefined;
}

/** Parses one command's arguments by its table of options. */
class PlainParser {
  readonly values: Record<string, Value> = {};
  private readonly names = new Map<string, string>();

  constructor(private readonly table: Readonly<Record<string, Options>>) {
    for (const [name, { alias }] of Object.entries(table)) {
      this.names.set(`--${name}`, name);
      if (typeof alias === 'string') this.names.set(`-${alias}`, name);
    }
  }

  /** Consumes all arguments; false when they are not plain. */
  parse(args: readonly string[]): boolean {
    for (let i = 0; i < args.length;) {
      const arg = args[i++]!;
      if (arg === '--') {
        if (i === args.length) return false;
        this.values['--'] = args.slice(i);
        break;
      }
      const equals = arg.startsWith('--') ? arg.indexOf('=') : -1;
      const name = this.names.get(equals === -1 ? arg : arg.slice(0, equals));
      if (name === undefined) {
        if (!this.negate(arg)) return false;
      } else if (this.table[name]!.type === 'boolean') {
        if (equals !== -1 || /^(true|false)$/.test(args[i] ?? '')) return false;
        if (!this.set(name, true)) return false;
      } else {
        const text = equals === -1 ? args[i++] : arg.slice(equals + 1);
        if (text === undefined || !this.set(name, convert(this.table[name]!, text))) return false;
      }
    }
    for (const [name, option] of Object.entries(this.table)) {
      if (option.default !== undefined) this.values[camelCase(name)] ??= option.default as Value;
    }
    return true;
  }

  /** `--no-name` for a boolean. */
  private negate(arg: string): boolean {
    const name = arg.startsWith('--no-') ? arg.slice('--no-'.length) : '';
    return this.table[name]?.type === 'boolean' && this.set(name, false);
  }

  private set(name: string, value: string | number | boolean | undefined): boolean {
    if (value === undefined) return false;
    const key = camelCase(name);
    const before = this.values[key];
    if (this.table[name]!.array === true) {
      this.values[key] = [...((before as string[] | undefined) ?? []), value as string];
      return true;
    }
    this.values[key] = value;
    return before === undefined;
  }
}

/**
 * Values by camel-cased name, defaults filled in, what follows `--` under "--".
 * @returns undefined when the arguments are for yargs
 */
export function parsePlain(
  args: readonly string[],
  table: Readonly<Record<string, Options>>,
): Record<string, Value> | undefined {
  const parser = new PlainParser(table);
  return parser.parse(args) ? parser.values : undefined;
}
