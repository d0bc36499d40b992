/** What a guest has written, where it stands between lines of ours. */
import { stripVTControlCharacters } from 'node:util';

/** The text without anything that a terminal would obey. */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replace(/\p{Cc}/gu, (one) => (one === '\t' ? one : ''));
}
