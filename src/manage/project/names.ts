/** What projects and their parts can be called, and what they are called on the host. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { VexitError } from '../../util/errors.js';
import { checkName } from '../paths.js';

/** Names of projects: without "_", which ends them in the names of LANs. */
export const PROJECT_NAME = '^[a-z0-9][a-z0-9-]{0,30}$';
/** Names of VMs in a project: a label of a host name, because others find them by it. */
export const MEMBER_NAME = '^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$';
/** As {@link MEMBER_NAME}, and longer than a LAN's may be: see {@link lanName}. */
export const NETWORK_NAME = '^[A-Za-z0-9][A-Za-z0-9_-]{0,30}$';

/** The longest name of a LAN. */
const MAX_LAN = 32;

/** @throws VexitError ERR_CONFIG */
export function checkProjectName(name: string): string {
  if (new RegExp(PROJECT_NAME).test(name)) return name;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(name)} is not a name for a project`,
    'use lower-case letters, digits and "-", at most 31, beginning with a letter or digit',
  );
}

/** @throws VexitError ERR_CONFIG */
export function checkMemberName(name: string): string {
  if (new RegExp(MEMBER_NAME).test(name)) return name;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(name)} is not a name for a VM of a project`,
    'use lower-case letters, digits and "-" between them, at most 31',
  );
}

/** @throws VexitError ERR_CONFIG */
export function checkNetworkName(name: string): string {
  if (new RegExp(NETWORK_NAME).test(name)) return name;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(name)} is not a name for a network`,
    'use letters, digits, "_" and "-", at most 31, beginning with a letter or digit',
  );
}

/** The name of a project that says none: its directory's, as far as it can be one. */
export function defaultProjectName(file: string): string {
  const directory = path.basename(path.dirname(path.resolve(file))).toLowerCase();
  const name = directory
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, 31)
    .replace(/-$/, '');
  return name === '' ? 'project' : name;
}

/** The name of a project's VM on the host. */
export function vmName(project: string, member: string): string {
  const name = `${project}-${member}`;
  checkName(name);
  return name;
}

/** The LAN of a project's network: another one for each pair of the two names. */
export function lanName(project: string, network: string): string {
  const name = `${project}_${network}`;
  if (name.length <= MAX_LAN) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 12);
  return `${name.slice(0, MAX_LAN - 13)}_${hash}`;
}
