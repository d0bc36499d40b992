/** A temporary directory that is shared, and the client of its server. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { HostDirectory, type HostDirectoryOptions } from '../../../src/fs/index.js';
import { FuseServer, type FuseServerOptions } from '../../../src/fs/index.js';
import { FuseClient } from './fuse-client.js';

export class Share {
  /** Holds the shared directory, and beside it what must not be reached. */
  readonly outside = mkdtempSync(path.join(os.tmpdir(), 'vexit-fs-'));
  readonly path = mkdtempSync(path.join(this.outside, 'share-'));
  readonly lines: string[] = [];
  readonly directory: HostDirectory;
  readonly server: FuseServer;
  readonly client: FuseClient;

  constructor(options: FuseServerOptions & HostDirectoryOptions = {}) {
    this.directory = new HostDirectory(this.path, options);
    const warn = (line: string): void => void this.lines.push(line);
    this.server = new FuseServer(this.directory, { warn, ...options });
    this.client = new FuseClient(this.server);
    this.client.init();
  }

  /** Path of a file in the share. */
  at(...names: string[]): string {
    return path.join(this.path, ...names);
  }

  close(): void {
    this.server.close();
    expect(this.directory.descriptors).toEqual({ nodes: 0, files: 0 });
    this.client.close();
    // A fuzzer may have taken permissions away.
    spawnSync('chmod', ['-R', 'u+rwX', this.outside]);
    rmSync(this.outside, { recursive: true, force: true });
  }
}
