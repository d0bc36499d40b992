/** Shared file systems: the interface to write one, the server, and the host's directories. */
export { FsError, errno } from './errors.js';
export type { ErrnoName } from './errors.js';
export { FileType, RenameFlag } from './file-system.js';
export type {
  AttributeChanges,
  Attributes,
  Awaitable,
  CacheMode,
  Caller,
  DirectoryEntry,
  DirectoryWriter,
  Entry,
  FileLock,
  FileSystem,
  FileSystemStatistics,
  OpenFile,
} from './file-system.js';
export type { IoVectors } from './io-vectors.js';
export { FuseRequest } from './fuse/request.js';
export type { Sink, Source } from './fuse/request.js';
export { FuseServer } from './server/fuse-server.js';
export type { FuseServerOptions } from './server/session.js';
export { HostDirectory } from './host/host-directory.js';
export type { HostDirectoryOptions } from './host/host-options.js';
export type { XattrPolicy } from './host/host-xattrs.js';
export type { IdRange } from './host/id-map.js';
export { parseShareOption, shareTag } from './share-option.js';
export type { Share } from './share-option.js';
