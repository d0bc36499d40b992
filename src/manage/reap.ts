/** Brings the state of a VM up to date whose process has ended without writing it down. */
import fs from 'node:fs';
import { netSettings } from '../machine/device-options.js';
import { removeAbandonedSocket } from '../machine/vsock/socket-paths.js';
import { clearLan } from '../net/lan/clear-lan.js';
import { VexitError } from '../util/errors.js';
import { bootId } from './host-identity.js';
import { removeCgroup } from './resources/cgroup.js';
import { isActive, type VmExit, type VmRecord } from './records.js';
import type { Store } from './store.js';
import type { VmDirectory } from './vm-directory.js';
import { askedVsockPath } from './vsock-place.js';

/** 128 + SIGKILL, as shells and container tools say it. */
export const KILLED_STATUS = 137;

function endOf(record: VmRecord): VmExit {
  if (record.bootId !== undefined && record.bootId !== bootId()) {
    return { reason: 'host-reboot', status: KILLED_STATUS, message: 'the host was rebooted' };
  }
  const message =
    record.status === 'starting'
      ? 'the start was interrupted'
      : "the VM's process was ended from outside (SIGKILL, or no memory)";
  return { reason: 'process-killed', status: KILLED_STATUS, message };
}

/**
 * Looks for a VM that should have a process and has none, writes down its end and removes what the
 * process has left. Leaves alone what another command is changing, and what cannot be read or
 * written: who needs that is told.
 * @param storeLocked the caller holds the store's lock
 */
export function reap(store: Store, directory: VmDirectory, storeLocked = false): void {
  try {
    const seen = directory.readRecord();
    if (!isActive(seen.status) || directory.isAlive()) return;
    const lock = directory.tryLock();
    if (lock === undefined) return;
    try {
      const record = directory.readRecord();
      if (!isActive(record.status) || directory.isAlive()) return;
      const exit = endOf(record);
      fs.rmSync(directory.socket, { force: true });
      fs.rmSync(directory.vsockSocket, { force: true });
      const { cgroup, ...rest } = record;
      if (cgroup !== undefined) removeCgroup(cgroup);
      directory.writeRecord({
        ...rest,
        status: 'exited',
        finishedAt: new Date().toISOString(),
        exit,
      });
      clearElsewhere(directory);
      const { name } = directory;
      store.events.add({ type: 'exit', name, reason: exit.reason, status: exit.status });
      removeIfAsked(store, directory, storeLocked);
    } finally {
      lock.release();
    }
  } catch (error) {
    if (!(error instanceof VexitError)) throw error;
  }
}

/** What the process has left elsewhere, as long as it can be read where that is. */
function clearElsewhere(directory: VmDirectory): void {
  try {
    const config = directory.readConfig();
    const vsock = askedVsockPath(config);
    if (vsock !== undefined) removeAbandonedSocket(vsock);
    for (const settings of netSettings(config.options)) {
      if (settings.kind === 'lan') clearLan(settings.lan);
    }
  } catch (error) {
    if (!(error instanceof VexitError)) throw error;
  }
}

function removeIfAsked(store: Store, directory: VmDirectory, storeLocked: boolean): void {
  if (!directory.readConfig().autoRemove) return;
  if (storeLocked) store.removeNow(directory);
  else store.tryRemove(directory);
}
