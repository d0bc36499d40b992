/** A program with its arguments: a list of words, or a text for the guest's shell. */
import { VexitError } from '../../util/errors.js';
import { byKind, list, mapped, parsed, text, type Reader } from './readers.js';

/** Arguments may be empty. */
const word = parsed((argument) => {
  if (!argument.includes('\0')) return argument;
  throw new VexitError('ERR_CONFIG', 'an argument has a NUL in it');
}, 'httpd');

export const commandLine: Reader<string[]> = byKind({
  list: mapped(list(word, { minItems: 1 }), (argv) => {
    if (argv.length > 0 && argv[0] !== '') return argv;
    throw new VexitError('ERR_CONFIG', 'the command is empty', 'write its program');
  }),
  other: mapped(text('httpd -f -p 80'), (line) => ['sh', '-c', line]),
});
