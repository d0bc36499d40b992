/** Records of `key\0value\0`: the run file, requests to the agent and its answers. */
import { VexitError } from '../util/errors.js';

/** A key and its value; keys may repeat. */
export type AgentRecord = readonly [key: string, value: string];

/**
 * Encodes records.
 * @throws VexitError ERR_CONFIG for a NUL, which no argument of a program can hold
 */
export function encodeRecords(records: readonly AgentRecord[]): Buffer {
  const bad = records.find(([, value]) => value.includes('\0'));
  if (bad !== undefined) {
    throw new VexitError('ERR_CONFIG', `the ${bad[0]} ${JSON.stringify(bad[1])} holds a NUL byte`);
  }
  return Buffer.from(records.map(([key, value]) => `${key}\0${value}\0`).join(''));
}

/** `env` records. @throws VexitError ERR_CONFIG for a name that cannot be one */
export function environmentRecords(env: Readonly<Record<string, string>> = {}): AgentRecord[] {
  return Object.entries(env).map(([name, value]) => {
    if (!/^[^=\0]+$/.test(name)) {
      throw new VexitError(
        'ERR_CONFIG',
        `${JSON.stringify(name)} cannot name an environment variable`,
      );
    }
    return ['env', `${name}=${value}`];
  });
}

/** What a guest answers: the last value of each key. What is not whole is left out. */
export function decodeRecords(bytes: Buffer): Map<string, string> {
  const parts = bytes.toString('utf8').split('\0');
  const records = new Map<string, string>();
  for (let i = 0; i + 2 < parts.length; i += 2) records.set(parts[i]!, parts[i + 1]!);
  return records;
}
