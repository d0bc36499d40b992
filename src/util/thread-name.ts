import { writeFileSync } from 'node:fs';

/** Names this thread in /proc and in tools that read it; at most 15 bytes are kept. */
export function nameThread(name: string): void {
  try {
    writeFileSync('/proc/thread-self/comm', name);
  } catch {
    // A /proc that is read-only, or none: the name is only for people.
  }
}
