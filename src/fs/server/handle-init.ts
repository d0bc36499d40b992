/** INIT: what the two sides can do. DESTROY and INTERRUPT. */
import { fsError } from '../errors.js';
import { InitFlag as F, MAJOR, MAX_TRANSFER, MINOR, OLDEST_MINOR, PAGE } from '../fuse/protocol.js';
import type { FuseRequest } from '../fuse/request.js';
import type { Session } from './session.js';

const INIT_OUT_BYTES = 64;
/** Requests of read-ahead and writeback that the guest has under way at a time, and when it slows. */
const MAX_BACKGROUND = 64;
const CONGESTION = 48;

/** What is offered to the guest. */
function offered({ fs, cache, sharedLocks, readOnly }: Session): number {
  let flags =
    F.AsyncRead |
    F.BigWrites |
    F.AsyncDio |
    F.AtomicOTrunc |
    F.ParallelDirOps |
    F.MaxPages |
    F.HandleKillPrivV2;
  if (fs.readDirectory !== undefined) flags |= F.DoReadDirPlus | F.ReadDirPlusAuto;
  if (sharedLocks) flags |= F.PosixLocks | F.FlockLocks;
  if (cache !== 'none') flags |= F.CacheSymlinks;
  if (cache === 'auto') flags |= F.AutoInvalData;
  if (cache === 'always' && !readOnly && fs.writeFrom !== undefined) flags |= F.WritebackCache;
  return flags;
}

/** FUSE_INIT. The guest begins anew: whatever it had before is gone. */
export function init(session: Session, request: FuseRequest): void {
  const { reader, reply } = session;
  const major = reader.u32(0);
  const minor = reader.u32(4);
  if (major < MAJOR || (major === MAJOR && minor < OLDEST_MINOR)) throw fsError('EPROTO');
  if (session.initialized) session.reset();
  reply.clear(0, INIT_OUT_BYTES);
  reply.u32(0, MAJOR);
  reply.u32(4, MINOR);
  // A newer kernel asks again, with a version it knows us to have.
  if (major === MAJOR) {
    const flags = offered(session) & reader.u32(12);
    session.writeback = (flags & F.WritebackCache) !== 0;
    session.initialized = true;
    reply.u32(8, Math.min(reader.u32(8), MAX_TRANSFER));
    reply.u32(12, flags);
    reply.u16(16, MAX_BACKGROUND);
    reply.u16(18, CONGESTION);
    reply.u32(20, MAX_TRANSFER);
    reply.u32(24, 1);
    reply.u16(28, MAX_TRANSFER / PAGE);
  }
  session.send(request, INIT_OUT_BYTES);
}

/** FUSE_DESTROY: the guest has unmounted. */
export function destroy(session: Session, request: FuseRequest): void {
  session.reset();
  session.send(request, 0);
}

/** FUSE_INTERRUPT, which has no answer. */
export function interrupt(session: Session, request: FuseRequest): void {
  const { reader } = session;
  session.waiters.interrupt(reader.u32(0), reader.u32(4));
  request.complete(0);
}
