/** The guest that `vexit run` boots when it is given none. */
import { ensureCloudKernel } from './cloud-kernel.js';
import { ensureGuestInitramfs } from './initramfs.js';
import { ensureGuestKernel } from './kernel.js';
import type { Progress } from './progress.js';

/**
 * Where the default guest's kernel comes from: compiled from Debian's source with our
 * configuration, or Debian's packaged cloud kernel as it is.
 */
export type GuestSource = 'built' | 'cloud';

/** Paths of the default guest's files. */
export interface DefaultGuest {
  readonly kernel: string;
  /** The initramfs with the agent, and for the cloud kernel its modules. */
  readonly initrds: readonly string[];
  /** The agent that serves vsock, a program for any Linux; see docs/agent.md. */
  readonly agent: string;
}

/**
 * The default guest, made first if the cache does not hold it.
 * @param progress told what a build is doing; not called when all is there
 * @param signal aborts a build, which leaves nothing half-made behind. Without one, SIGINT,
 *   SIGTERM and SIGHUP do, and then end the process.
 * @throws VexitError ERR_GUEST_BUILD, ERR_ABORTED
 */
export async function ensureDefaultGuest(
  source: GuestSource,
  progress: Progress,
  signal?: AbortSignal,
): Promise<DefaultGuest> {
  const { initramfs, vsockAgent } = await ensureGuestInitramfs(progress, signal);
  if (source === 'cloud') {
    const { bzImage, modules } = await ensureCloudKernel(progress, signal);
    return { kernel: bzImage, initrds: [initramfs, modules], agent: vsockAgent };
  }
  const { kernel } = await ensureGuestKernel(progress, signal);
  return { kernel, initrds: [initramfs], agent: vsockAgent };
}
