/** Where VMs are kept, and what they may be called. */
import { randomBytes } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { VexitError } from '../util/errors.js';

/** `$XDG_STATE_HOME/vexit`: the directory of everything that outlives a command. */
export function stateRoot(): string {
  const xdg = process.env.XDG_STATE_HOME;
  // The XDG specification has relative paths ignored.
  const base =
    xdg !== undefined && path.isAbsolute(xdg) ? xdg : path.join(os.homedir(), '.local/state');
  return path.join(base, 'vexit');
}

/** The names that VMs can have; none begins with a dot, which the store's own entries do. */
export const VM_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

/** @throws VexitError ERR_CONFIG when no VM can have this name */
export function checkName(name: string): void {
  if (VM_NAME.test(name)) return;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(name)} is not a name for a VM`,
    'use letters, digits, "_", "." and "-", at most 63, beginning with a letter or digit',
  );
}

/** A name for a VM that was given none. */
export function randomName(): string {
  return `vm-${randomBytes(4).toString('hex')}`;
}

/** Tells VMs of one name apart. */
export function randomId(): string {
  return randomBytes(16).toString('hex');
}
