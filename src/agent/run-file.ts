/** The file that tells the guest's agent what to run, in an initramfs of its own. */
import { VexitError } from '../util/errors.js';

/** What /.vexit/run says; see docs/guest.md. */
export interface RunFile {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: string;
  readonly tty?: boolean;
  readonly rows?: number;
  readonly cols?: number;
  readonly hostname?: string;
  /** Name of the virtio-console port that is the agent channel. */
  readonly channel?: string;
  /** Network interfaces with fixed addresses. */
  readonly interfaces?: readonly GuestInterface[];
  readonly nameservers?: readonly string[];
  /** virtio-fs tags and where they are mounted. */
  readonly shares?: readonly GuestShare[];
}

/** An interface of the guest, as the agent sets it up. */
export interface GuestInterface {
  readonly name: string;
  /** IPv4, with the length of the prefix: "10.0.2.15/24". */
  readonly address: string;
  readonly gateway: string;
}

/** A shared directory, as the agent mounts it. */
export interface GuestShare {
  readonly tag: string;
  /** Absolute; made if it is not there. */
  readonly path: string;
  readonly readOnly: boolean;
}

/**
 * `key\0value\0` records.
 * @throws VexitError ERR_CONFIG for a NUL, which no argument of a program can hold
 */
export function encodeRunFile(run: RunFile): Buffer {
  const records: [string, string][] = [];
  for (const arg of run.argv ?? []) records.push(['arg', arg]);
  for (const [name, value] of Object.entries(run.env ?? {})) {
    if (!/^[^=\0]+$/.test(name)) {
      throw new VexitError(
        'ERR_CONFIG',
        `${JSON.stringify(name)} cannot name an environment variable`,
      );
    }
    records.push(['env', `${name}=${value}`]);
  }
  for (const key of ['cwd', 'user', 'rows', 'cols', 'hostname', 'channel'] as const) {
    const value = run[key];
    if (value !== undefined) records.push([key, String(value)]);
  }
  for (const { name, address, gateway } of run.interfaces ?? []) {
    records.push(['interface', `${name} ${address} ${gateway}`]);
  }
  for (const server of run.nameservers ?? []) records.push(['nameserver', server]);
  for (const { tag, path, readOnly } of run.shares ?? []) {
    records.push(['share', `${tag} ${readOnly ? 'ro' : 'rw'} ${path}`]);
  }
  if (run.tty === true) records.push(['tty', '1']);
  const bad = records.find(([, value]) => value.includes('\0'));
  if (bad !== undefined) {
    throw new VexitError('ERR_CONFIG', `the ${bad[0]} ${JSON.stringify(bad[1])} holds a NUL byte`);
  }
  return Buffer.from(records.map(([key, value]) => `${key}\0${value}\0`).join(''));
}
