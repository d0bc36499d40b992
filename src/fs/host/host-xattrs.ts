/** Extended attributes of host files: which of them a guest has to do with. */
import { native } from '../../kvm/native.js';
import { errnoError, fsError } from '../errors.js';
import { checked } from './host-files.js';

/** Which names the guest sees: none, those of users, or all that its host process may use. */
export type XattrPolicy = 'none' | 'user' | 'all';

const SIZE_LIMIT = 65536;
const buffer = Buffer.alloc(SIZE_LIMIT);

/** ACLs would have to be enforced by the guest, which is not told to. */
function allowed(policy: XattrPolicy, name: string): boolean {
  if (policy === 'all') return !name.startsWith('system.');
  return policy === 'user' && name.startsWith('user.');
}

function check(policy: XattrPolicy, name: string): void {
  if (!allowed(policy, name)) throw fsError('EOPNOTSUPP');
}

/** The value; a view that is valid until the next call. */
export function getXattr(fd: number, name: string, policy: XattrPolicy): Uint8Array {
  check(policy, name);
  const length = checked(native().fsGetXattr(fd, name, buffer));
  return buffer.subarray(0, length);
}

export function listXattrs(fd: number, policy: XattrPolicy): string[] {
  const length = native().fsListXattr(fd, buffer);
  if (length < 0) throw errnoError(-length);
  const names = buffer.toString('latin1', 0, length).split('\0');
  return names.filter((name) => name !== '' && allowed(policy, name));
}

export function setXattr(
  fd: number,
  name: string,
  value: Uint8Array,
  flags: number,
  policy: XattrPolicy,
): void {
  check(policy, name);
  checked(native().fsSetXattr(fd, name, value, flags));
}

export function removeXattr(fd: number, name: string, policy: XattrPolicy): void {
  check(policy, name);
  checked(native().fsRemoveXattr(fd, name));
}
