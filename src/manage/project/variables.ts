/** Variables of the environment in values of a project's file: `${NAME}`, `${NAME:-default}`. */

/** What a value has become, or why it cannot become anything. */
export type Substituted = { readonly text: string } | { readonly problem: string; hint: string };

const REFERENCE = /\$?\$\{([^}]*)\}/g;
const INSIDE = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?])([\s\S]*))?$/;

/**
 * Puts in variables: `${NAME}`, `${NAME:-default}` (also when it is empty), `${NAME-default}`,
 * `${NAME:?message}`. `$${` is `${`; a dollar sign with anything else behind it is itself, so that the
 * scripts of commands need no escapes.
 */
export function substitute(text: string, env: Readonly<NodeJS.ProcessEnv>): Substituted {
  let problem: { problem: string; hint: string } | undefined;
  const put = text.replace(REFERENCE, (whole, inside: string) => {
    if (whole.startsWith('$$')) return whole.slice(1);
    const [, name, operator, word = ''] = INSIDE.exec(inside) ?? [];
    if (name === undefined) {
      problem ??= {
        problem: `${whole} is not a variable`,
        hint: 'write ${NAME} or ${NAME:-default}, or $${ for the two characters',
      };
      return '';
    }
    const value = env[name];
    if (value !== undefined && !(operator?.startsWith(':') === true && value === '')) return value;
    if (operator?.endsWith('-') === true) return word;
    problem ??= {
      problem: `the variable ${name} is not set${word === '' ? '' : `: ${word}`}`,
      hint: `set it, or write \${${name}:-default}`,
    };
    return '';
  });
  return problem ?? { text: put };
}
