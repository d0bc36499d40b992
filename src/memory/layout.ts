/** Where things are in the guest's physical address space. Addresses only, each with its reason. */

/** Start of the real-mode interrupt vectors and BIOS data: left alone. */
export const GDT_ADDRESS = 0x500;
/** PVH start info, its module list and memory map (one page). */
export const PVH_INFO_ADDRESS = 0x6000;
/** Linux boot parameters ("zero page"), one page. */
export const ZERO_PAGE_ADDRESS = 0x7000;
/** Stack of the boot processor when a 64-bit kernel is entered; grows down from here. */
export const BOOT_STACK_ADDRESS = 0x8ff0;
/** Identity page tables of the first 4 GiB: PML4, PDPT, four page directories (six pages). */
export const PAGE_TABLE_ADDRESS = 0x9000;
/** Multiboot information, module list, memory map (up to 32 KiB). */
export const MULTIBOOT_INFO_ADDRESS = 0x10000;
/** Kernel command line: 64 KiB, so that the longest that Linux takes fits many times. */
export const CMDLINE_ADDRESS = 0x20000;
export const CMDLINE_MAX_SIZE = 0x10000;
/** Extended BIOS data area: the first KiB holds the MP floating pointer, the rest the MP table. */
export const EBDA_START = 0x9fc00;
/** End of conventional memory that the memory map reports as usable. */
export const LOW_RAM_END = EBDA_START;
/** ROM area of a PC: ACPI tables and the RSDP live here, where every kernel scans for them. */
export const RSDP_ADDRESS = 0xe0000;
export const ACPI_TABLES_ADDRESS = 0xe0040;
export const ACPI_TABLES_END = 0xf0000;
/** MP table: the EBDA has no room for 32 processors. */
export const MP_TABLE_ADDRESS = 0xf0000;
export const MP_TABLE_END = 0xfffff;
/** Where extended memory begins, and where kernels are loaded from. */
export const HIGH_RAM_START = 0x100000;

/** RAM ends here and goes on at 4 GiB: the hole holds PCI windows, virtio-mmio, APICs, firmware. */
export const MMIO_HOLE_START = 0xc000_0000;
export const MMIO_HOLE_END = 0x1_0000_0000;
/** virtio-mmio windows, 4 KiB each. */
export const VIRTIO_MMIO_BASE = 0xd000_0000;
export const VIRTIO_MMIO_STRIDE = 0x1000;
export const IO_APIC_ADDRESS = 0xfec0_0000;
export const LOCAL_APIC_ADDRESS = 0xfee0_0000;
/** One page for the identity map and three for KVM_SET_TSS_ADDR, where QEMU has them: firmware of
 * up to 16 MiB fits above. */
export const KVM_IDENTITY_MAP_ADDRESS = 0xfeff_c000;
export const KVM_TSS_ADDRESS = 0xfeff_d000;
export const FIRMWARE_MAX_SIZE = 2 ** 24;

/** GSIs of the ISA devices. */
export const SERIAL_IRQS = [4, 3, 4, 3] as const;
export const SERIAL_PORTS = [0x3f8, 0x2f8, 0x3e8, 0x2e8] as const;
export const RTC_IRQ = 8;
/** ACPI system control interrupt: level triggered, active high, as on a PC. */
export const ACPI_SCI_IRQ = 9;
/**
 * GSIs of virtio-mmio devices, in their order: the pins above the ISA lines, then the ISA lines that
 * nothing uses. They are edge triggered, so none can be shared.
 */
export const VIRTIO_MMIO_GSIS = [16, 17, 18, 19, 20, 21, 22, 23, 5, 6, 7, 10, 11, 14, 15] as const;
export const IO_APIC_PINS = 24;

/** I/O ports of the power management block, as QEMU's PIIX4 has them. */
export const ACPI_PM1_EVENT_PORT = 0x600;
export const ACPI_PM1_CONTROL_PORT = 0x604;
export const ACPI_PM_TIMER_PORT = 0x608;
export const RESET_PORT = 0xcf9;
export const DEBUG_CONSOLE_PORT = 0xe9;
export const FIRMWARE_LOG_PORT = 0x402;
export const POST_PORT = 0x80;
export const DEBUG_EXIT_PORT = 0x501;
export const PVPANIC_PORT = 0x505;

const PAGE = 4096;
/** Smallest guest memory. */
export const MEMORY_MIN = 16 * 2 ** 20;

/** RAM regions of a guest with this much memory: up to the hole, and the rest above 4 GiB. */
export function memoryRegions(bytes: number): { start: number; size: number }[] {
  const size = Math.floor(bytes / PAGE) * PAGE;
  if (size <= MMIO_HOLE_START) return [{ start: 0, size }];
  return [
    { start: 0, size: MMIO_HOLE_START },
    { start: MMIO_HOLE_END, size: size - MMIO_HOLE_START },
  ];
}

const GIB = 2 ** 30;

/** Where a region of persistent memory may begin after this address: on a GiB of its own. */
export function pmemAfter(address: number): number {
  return Math.max(MMIO_HOLE_END, Math.ceil(address / GIB) * GIB);
}

/** Where regions of persistent memory begin: behind all RAM. */
export function pmemStart(memoryBytes: number): number {
  const last = memoryRegions(memoryBytes).at(-1)!;
  return pmemAfter(last.start + last.size);
}
