/** Opens in an I/O worker what a device works on: the backend of its description. */
import { createBackend } from '../../block/open-disk.js';
import type { BlockBackend } from '../../block/backend.js';
import type { PmemFlush } from '../../devices/virtio/pmem/pmem.js';
import type { DeviceSpec, DiskSource, UserModule } from './device-spec.js';
import type { IoServices } from './io-services.js';
import { loadExport } from './user-module.js';

/** What the devices of an I/O worker are made with. */
export interface DeviceBackend {
  readonly block?: BlockBackend;
  readonly pmemFlush?: PmemFlush;
}

/** What the module of a disk exports. */
export type BackendFactory = (options: unknown) => BlockBackend | Promise<BlockBackend>;

/**
 * Makes the backend that a module exports.
 * @throws VexitError ERR_CONFIG, and what the module throws
 */
export async function userBackend(description: UserModule): Promise<BlockBackend> {
  const factory = (await loadExport(description)) as BackendFactory;
  return factory(description.options);
}

async function openBlocks(source: DiskSource, io: IoServices): Promise<BlockBackend> {
  if (source.kind === 'module') return userBackend(source.backend);
  const { engine, dispatcher } = io.engine(source.engine);
  return createBackend(source.disk, engine, dispatcher);
}

function fileFlush(fd: number, io: IoServices): PmemFlush {
  const { engine, dispatcher } = io.engine();
  const file = engine.register(fd);
  let done: ((result: number) => void) | undefined;
  const channel = dispatcher.open({
    completed: (_id, result) => done?.(result),
    room: () => undefined,
  });
  return (callback) => {
    if (!engine.fdatasync(file, channel.token(0))) return false;
    done = callback;
    engine.submit();
    return true;
  };
}

/** Opens the backend of a device; an empty one when it needs none. */
export async function makeBackend(spec: DeviceSpec, io: IoServices): Promise<DeviceBackend> {
  switch (spec.kind) {
    case 'block':
      return { block: await openBlocks(spec.source, io) };
    case 'pmem':
      return spec.fd === undefined ? {} : { pmemFlush: fileFlush(spec.fd, io) };
    default:
      return {};
  }
}
