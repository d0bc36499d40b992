/** Settings of virtio-vsock, as users write them. */
import { MAX_CID, MIN_CID } from '../../devices/virtio/vsock/vsock-protocol.js';
import { VexitError } from '../../util/errors.js';
import { checkSocketPath } from './socket-paths.js';

/** A socket device. */
export interface VsockSettings {
  /** The guest's address, 3 to 4294967294; default 3. */
  readonly cid?: number;
  /** The unix socket that programs of the host connect to; default: one that only this VM knows. */
  readonly path?: string;
}

/** Settings that have been checked. */
export interface VsockConfig {
  readonly cid: number;
  /** Undefined: a private one is made with the VM. */
  readonly path?: string;
}

const FORM = 'write --vsock path=SOCKET or --vsock cid=3,path=SOCKET';

/**
 * Checks settings.
 * @throws VexitError ERR_CONFIG
 */
export function checkVsock({ cid = MIN_CID, path }: VsockSettings): VsockConfig {
  if (!(Number.isInteger(cid) && cid >= MIN_CID && cid <= MAX_CID)) {
    throw new VexitError(
      'ERR_CONFIG',
      `${cid} is not a guest's vsock address`,
      `give ${MIN_CID} to ${MAX_CID}; the others are reserved`,
    );
  }
  if (path === undefined) return { cid };
  checkSocketPath(path);
  return { cid, path };
}

/**
 * Reads the value of `--vsock`.
 * @throws VexitError ERR_CONFIG
 */
export function parseVsockOption(text: string): VsockSettings {
  const values = new Map<string, string>();
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const key = part.slice(0, Math.max(at, 0));
    if (key !== 'cid' && key !== 'path') {
      throw new VexitError('ERR_CONFIG', `--vsock does not know ${JSON.stringify(part)}`, FORM);
    }
    if (values.has(key)) throw new VexitError('ERR_CONFIG', `--vsock has two ${key}s`, FORM);
    values.set(key, part.slice(at + 1));
  }
  const cid = values.get('cid');
  const path = values.get('path');
  if (path === undefined) throw new VexitError('ERR_CONFIG', '--vsock has no path', FORM);
  if (cid !== undefined && !/^[0-9]{1,10}$/.test(cid)) {
    throw new VexitError('ERR_CONFIG', `--vsock cid=${cid} is not a number`, FORM);
  }
  return cid === undefined ? { path } : { cid: Number(cid), path };
}
