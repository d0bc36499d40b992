/** The text of a project's file, if it is one that a parser should see. */
import fs from 'node:fs';
import { errorMessage, systemCode } from '../../util/errors.js';
import { ProjectError } from './problems.js';

/** No file that people write is larger. */
const MAX_BYTES = 64 * 1024;
/** Lists and mappings in each other. The parser calls itself for each. */
export const MAX_DEPTH = 64;

/** A mistake that has no place in the file. */
export function aboutFile(file: string, message: string, hint?: string): ProjectError {
  const place = { file, line: 0, column: 0, path: '' };
  return new ProjectError([{ ...place, message, ...(hint === undefined ? {} : { hint }) }]);
}

/**
 * The text of a file that is one and not too large.
 * @throws ProjectError
 */
export function textOf(file: string): string {
  let bytes: Buffer;
  try {
    // A FIFO would wait for a writer.
    const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    try {
      const stats = fs.fstatSync(fd);
      if (!stats.isFile()) throw aboutFile(file, 'it is not a file', 'give the path of a file');
      if (stats.size > MAX_BYTES) throw aboutFile(file, `it has more than ${MAX_BYTES} bytes`);
      bytes = fs.readFileSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (error instanceof ProjectError) throw error;
    if (systemCode(error) === 'ENOENT')
      throw aboutFile(file, 'there is no such file', 'check the path');
    throw aboutFile(file, errorMessage(error));
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw aboutFile(file, 'it is not UTF-8 text');
  }
}

/**
 * Where collections begin to be too deep in each other: found before the parser, whose stack and
 * memory go with the depth. Brackets in text count too; a script that closes what it opens is no trouble.
 */
export function tooDeep(text: string): number | undefined {
  const compact = new RegExp(`^[ \\t]*(?:[-?:][ \\t]+){${MAX_DEPTH},}`, 'm').exec(text);
  if (compact !== null) return compact.index;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth = Math.max(depth - 1, 0);
    if (depth > MAX_DEPTH) return i;
  }
  return undefined;
}
