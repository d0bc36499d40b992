/** Opens in an I/O worker what a device works on: the backend of its description. */
import type { MessagePort } from 'node:worker_threads';
import { createBackend } from '../../block/open-disk.js';
import type { BlockBackend } from '../../block/backend.js';
import type { RequestServer } from '../../devices/virtio/fs/fs.js';
import type { PmemFlush } from '../../devices/virtio/pmem/pmem.js';
import { FuseServer, HostDirectory, type FileSystem } from '../../fs/index.js';
import { SiteLog } from '../../devices/virtio/site-log.js';
import { native } from '../../kvm/native.js';
import type { NetEvent } from '../../net/events.js';
import type { AnyNetwork } from '../../net/kernel-network.js';
import { LanNames } from '../../net/lan/lan-names.js';
import { decideOverPort } from '../../net/policy/decisions.js';
import { TapNetwork } from '../../net/tap/tap-network.js';
import { UserNetwork } from '../../net/user-network.js';
import type { DeviceSpec, DiskSource, NetSource, ShareSource } from './device-spec.js';
import type { VsockBackend } from '../../devices/virtio/vsock/host-backend.js';
import { UnixBackend } from '../vsock/unix-backend.js';
import type { IoServices } from './io-services.js';
import { userBackend } from './user-backend.js';
import { loadExport } from './user-module.js';

/** What the devices of an I/O worker are made with. */
export interface DeviceBackend {
  readonly block?: BlockBackend;
  readonly pmemFlush?: PmemFlush;
  /** By pair of queues. */
  readonly networks?: readonly (AnyNetwork | undefined)[];
  readonly fileServer?: RequestServer;
  readonly vsock?: VsockBackend;
}

/** What a backend tells the main thread, and asks there. */
export interface BackendSurroundings {
  /** Takes a line for the machine's log. */
  readonly log: (message: string) => void;
  /** The device's queues that this thread serves. */
  readonly queues: readonly number[];
  readonly onNetwork: (event: NetEvent) => void;
  /** Where the owner's callback answers, if there is one. */
  readonly decisions: MessagePort | undefined;
}

/** What the module of a share exports. */
export type FileSystemFactory = (options: unknown) => FileSystem | Promise<FileSystem>;

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

/** Networks by pair of queues, of the pairs that this thread serves. */
async function openNetworks(
  source: NetSource,
  { queues, decisions, onNetwork, log }: BackendSurroundings,
): Promise<(AnyNetwork | undefined)[]> {
  if (source.kind === 'tap') {
    const { name, fds } = source;
    return fds.map((_, pair) =>
      queues.includes(2 * pair) ? new TapNetwork(`tap ${name}`, fds, pair) : undefined,
    );
  }
  if (source.kind === 'lan') {
    const { LanNetwork } = await import('../../net/lan/lan-network.js');
    const network = new LanNetwork(source);
    network.open();
    return [network];
  }
  const names = source.lans.length === 0 ? undefined : new LanNames(source.lans);
  const site = new SiteLog(log);
  const network = new UserNetwork(source.options, {
    ...(decisions === undefined ? {} : { decide: decideOverPort(decisions) }),
    ...(names === undefined ? {} : { knownNames: (query) => names.answer(query) }),
    onEvent: onNetwork,
    openPing: (ipv4) => native().pingSocket(ipv4),
    warn: (line) => site.warn('user network', line),
  });
  await network.open();
  return [network];
}

async function openShare(
  source: ShareSource,
  { log }: BackendSurroundings,
): Promise<RequestServer> {
  const site = new SiteLog(log);
  const options = { warn: (line: string): void => site.warn('virtio-fs', line) };
  if (source.kind === 'host') {
    return new FuseServer(new HostDirectory(source.path, source.options), options);
  }
  const factory = (await loadExport(source.fileSystem)) as FileSystemFactory;
  return new FuseServer(await factory(source.fileSystem.options), options);
}

/** Opens the backend of a device; an empty one when it needs none. */
export async function makeBackend(
  spec: DeviceSpec,
  io: IoServices,
  surroundings: BackendSurroundings,
): Promise<DeviceBackend> {
  switch (spec.kind) {
    case 'block':
      return { block: await openBlocks(spec.source, io) };
    case 'pmem':
      return spec.fd === undefined ? {} : { pmemFlush: fileFlush(spec.fd, io) };
    case 'net':
      return { networks: await openNetworks(spec.network, surroundings) };
    case 'fs':
      return { fileServer: await openShare(spec.source, surroundings) };
    case 'vsock':
      return { vsock: new UnixBackend(spec.options.path) };
    default:
      return {};
  }
}
