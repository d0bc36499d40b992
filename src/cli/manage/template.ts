/** `--format`: text with fields of an object in it, as `{{.state.status}}`. */
import { VexitError } from '../../util/errors.js';

function field(value: unknown, path: string): unknown {
  let at = value;
  for (const key of path.split('.').filter((part) => part !== '')) {
    const own = typeof at === 'object' && at !== null && Object.hasOwn(at, key);
    if (!own) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

function show(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/**
 * Fills a template: `{{.a.b}}` is a field, `{{json .a}}` a field as JSON, `\t` and `\n` are what they
 * are in C. A field that is not there is empty.
 * @throws VexitError ERR_CONFIG for a template that cannot be understood
 */
export function fillTemplate(template: string, value: unknown): string {
  const text = template.replaceAll('\\t', '\t').replaceAll('\\n', '\n');
  return text.replace(/\{\{(.*?)\}\}/g, (_, inner: string) => {
    const match = /^\s*(json\s+)?((?:\.[\w-]+)+|\.)\s*$/.exec(inner);
    if (match === null) {
      throw new VexitError(
        'ERR_CONFIG',
        `--format: {{${inner}}} is not known`,
        'write {{.field}}, {{.field.field}} or {{json .field}}',
      );
    }
    const found = field(value, match[2]!);
    return match[1] === undefined ? show(found) : JSON.stringify(found ?? null);
  });
}
