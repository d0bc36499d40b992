/** Requests for locks, of fcntl(2) and of flock(2). */
import { fsError } from '../errors.js';
import type { FileLock } from '../file-system.js';
import { LOCK_FLOCK, LockType } from '../fuse/protocol.js';
import type { FuseRequest } from '../fuse/request.js';
import { requires, type Session } from './session.js';

const LOCK_OUT_BYTES = 24;
const TYPES: readonly FileLock['type'][] = ['read', 'write', 'unlock'];
const LAST_BYTE = 2n ** 63n - 1n;

/** `fuse_lk_in`. */
function lockOf({ reader }: Session): FileLock {
  const type = TYPES[reader.u32(32)];
  const start = reader.big(16);
  const end = reader.big(24);
  if (type === undefined || start > end || end > LAST_BYTE) throw fsError('EINVAL');
  const flock = (reader.u32(40) & LOCK_FLOCK) !== 0;
  return { type, start, end, owner: reader.big(8), pid: reader.u32(36), flock };
}

export function getLk(session: Session, request: FuseRequest): void {
  const { reader, reply, fs, sharedLocks } = session;
  requires(fs, 'testLock');
  if (!sharedLocks) throw fsError('ENOSYS');
  const file = session.file(reader.u64(0));
  const asked = lockOf(session);
  session.settle(request, fs.testLock(file, asked), (lock) => {
    reply.u64(0, lock?.start ?? asked.start);
    reply.u64(8, lock?.end ?? asked.end);
    reply.u32(16, lock === undefined ? LockType.Unlock : TYPES.indexOf(lock.type));
    reply.u32(20, lock?.pid ?? 0);
    return LOCK_OUT_BYTES;
  });
}

function setWith(session: Session, request: FuseRequest, wait: boolean): void {
  const { reader, fs, sharedLocks, waiters } = session;
  requires(fs, 'lock');
  if (!sharedLocks) throw fsError('ENOSYS');
  const file = session.file(reader.u64(0));
  const lock = lockOf(session);
  session.settleWith(request, fs.lock(file, lock), (taken) => {
    if (taken) {
      session.send(request, 0);
      // What has been given back, or has become weaker, others may wait for.
      if (lock.type !== 'write' && waiters.size > 0) waiters.changed(file.node);
    } else if (wait) {
      waiters.add(request, file, lock);
    } else {
      throw fsError('EAGAIN');
    }
  });
}

export function setLk(session: Session, request: FuseRequest): void {
  setWith(session, request, false);
}

export function setLkW(session: Session, request: FuseRequest): void {
  setWith(session, request, true);
}
