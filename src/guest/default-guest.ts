/** The guest that `vexit run` boots when it is given none. */
import { ensureGuestInitramfs, type GuestInitramfs } from './initramfs.js';
import { ensureGuestKernel, type GuestKernel } from './kernel.js';
import type { Progress } from './progress.js';

/** Paths of the default guest's files. */
export type DefaultGuest = GuestKernel & GuestInitramfs;

/**
 * The default guest, built first if the cache does not hold it.
 * @param progress told what a build is doing; not called when all is there
 * @param signal aborts a build, which leaves nothing half-made behind. Without one, SIGINT,
 *   SIGTERM and SIGHUP do, and then end the process.
 * @throws VexitError ERR_GUEST_BUILD, ERR_ABORTED
 */
export async function ensureDefaultGuest(
  progress: Progress,
  signal?: AbortSignal,
): Promise<DefaultGuest> {
  const initramfs = await ensureGuestInitramfs(progress, signal);
  return { ...(await ensureGuestKernel(progress, signal)), ...initramfs };
}
