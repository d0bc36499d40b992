/** What the caller of loadBoot gives, and what every loader works on. */
import type { GuestAddress, GuestMemory } from '../memory/guest-memory.js';
import type { BootProtocol } from './boot-result.js';
import type { Placement } from './placement.js';

/** A boot input: the path of a regular file, or bytes with a name for messages. */
export type BootImage = string | { readonly name: string; readonly bytes: Uint8Array };

/** A multiboot module: the image and the string that the kernel sees with it. */
export interface BootModule {
  readonly image: BootImage;
  /** Defaults to the name of the image. */
  readonly cmdline?: string;
}

/** Options of loadBoot. Either `kernel` or `firmware` is needed. */
export interface BootOptions {
  readonly kernel?: BootImage | undefined;
  /** A ROM image to be mapped below 4 GiB. */
  readonly firmware?: BootImage | undefined;
  /** Forces a protocol; without it the image is looked at. */
  readonly protocol?: BootProtocol | undefined;
  /** Initial RAM disks, concatenated for Linux and PVH; modules for multiboot. */
  readonly initrds?: readonly BootImage[] | undefined;
  /** Multiboot modules, after the initrds. */
  readonly modules?: readonly BootModule[] | undefined;
  readonly cmdline?: string | undefined;
  /** Where the ACPI RSDP is (or will be) in guest memory. */
  readonly rsdpAddress?: GuestAddress | undefined;
  /** Load address of a flat binary, {@link FLAT_DEFAULT_ADDRESS} unless told. */
  readonly flatAddress?: GuestAddress | undefined;
}

/** What a loader needs besides the image itself. */
export interface BootContext {
  readonly memory: GuestMemory;
  readonly placement: Placement;
  readonly options: BootOptions;
  /** Things the user should know; they end up in the result. */
  readonly warnings: string[];
}
