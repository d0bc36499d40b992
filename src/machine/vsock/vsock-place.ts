/** Where a VM's vsock sockets are, from before its first power-on to its end. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { claimSocketPath, makePrivateDirectory } from './socket-paths.js';
import type { VsockConfig } from './vsock-option.js';

/** A path at which the device can make its socket. */
export interface VsockPlace {
  readonly path: string;
  /** Removes what was made for it. */
  readonly release: () => void;
}

/**
 * Finds the place of a device's socket.
 * @throws VexitError ERR_CONFIG
 */
export function claimVsock(config: VsockConfig): VsockPlace {
  if (config.path !== undefined) {
    const file = path.resolve(config.path);
    claimSocketPath(file);
    return { path: file, release: () => undefined };
  }
  const directory = makePrivateDirectory();
  const release = (): void => rmSync(directory, { recursive: true, force: true });
  return { path: path.join(directory, 'vsock'), release };
}
