/** The file that tells the guest's agent what to run, in an initramfs of its own. */
import { encodeRecords, environmentRecords, type AgentRecord } from './records.js';

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
  /** The vsock port that the agent's daemon serves. */
  readonly agentPort?: number;
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
  const records: AgentRecord[] = (run.argv ?? []).map((arg) => ['arg', arg]);
  records.push(...environmentRecords(run.env));
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
  if (run.agentPort !== undefined) records.push(['agent', String(run.agentPort)]);
  if (run.tty === true) records.push(['tty', '1']);
  return encodeRecords(records);
}
