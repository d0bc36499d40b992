/** Names of /etc/hosts, read again when the file has changed. */
import { readFileSync, statSync } from 'node:fs';
import type { Clock } from '../timers.js';
import { IpAddress } from '../wire/address.js';

const LARGEST = 1 << 20;
const CHECK_MS = 5000;

/** Names in lower case and their addresses, in the order of the file. */
export function parseHosts(text: string): Map<string, IpAddress[]> {
  const names = new Map<string, IpAddress[]>();
  for (const line of text.split('\n')) {
    const [addressText, ...hosts] = line.replace(/#.*/, '').trim().split(/\s+/);
    const address = IpAddress.parse(addressText!);
    if (address === undefined) continue;
    for (const host of hosts) {
      const name = host.toLowerCase();
      const addresses = names.get(name) ?? [];
      if (!addresses.some((known) => known.equals(address))) addresses.push(address);
      names.set(name, addresses);
    }
  }
  return names;
}

export class HostsFile {
  private names = new Map<string, IpAddress[]>();
  private checked = -Infinity;
  private version = '';

  constructor(
    private readonly path: string,
    private readonly clock: Clock,
  ) {}

  /** Addresses of a name; undefined when the file does not have it. */
  find(name: string): readonly IpAddress[] | undefined {
    const now = this.clock.now();
    if (now - this.checked >= CHECK_MS) {
      this.checked = now;
      this.refresh();
    }
    return this.names.get(name);
  }

  private refresh(): void {
    try {
      const stats = statSync(this.path);
      const version = `${stats.mtimeMs}/${stats.size}/${stats.ino}`;
      if (version === this.version) return;
      this.version = version;
      const usable = stats.isFile() && stats.size <= LARGEST;
      this.names = usable
        ? parseHosts(readFileSync(this.path, 'utf8'))
        : new Map<string, IpAddress[]>();
    } catch {
      // Without the file there are no names in it; the resolvers know others.
      this.version = '';
      this.names = new Map();
    }
  }
}
