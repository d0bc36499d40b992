/** Stable, documented codes of the errors that vexit throws; match on these, not on messages. */
export type ErrorCode =
  | 'ERR_ADDON'
  | 'ERR_KVM_UNAVAILABLE'
  | 'ERR_KVM_UNSUPPORTED'
  | 'ERR_CONFIG'
  | 'ERR_KERNEL'
  | 'ERR_INITRD'
  | 'ERR_CMDLINE'
  | 'ERR_MEMORY'
  | 'ERR_DISK'
  | 'ERR_NET'
  | 'ERR_GUEST_BUILD'
  | 'ERR_STATE'
  | 'ERR_VCPU'
  | 'ERR_VSOCK'
  | 'ERR_AGENT'
  | 'ERR_ABORTED'
  | 'ERR_NOT_FOUND'
  | 'ERR_EXISTS'
  | 'ERR_VM_STATE'
  | 'ERR_STORE'
  | 'ERR_BUSY'
  | 'ERR_CONTROL'
  | 'ERR_PROJECT'
  | 'ERR_IO';

/**
 * An error with a code and, where there is one, a hint that says what to do. The message is one
 * line that makes sense to the person who gave the input.
 */
export class VexitError extends Error {
  override readonly name = 'VexitError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The `code` of a system error ("ENOENT"), or undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : undefined;
}

/** The message of whatever was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
