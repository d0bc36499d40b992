/**
 * The differentiated system description table: the little AML this machine has.
 *
 * What has registers at well-known ports (COM ports, RTC) needs no AML, and guests that interpret
 * it do so slowly on some hosts; so there are only the soft-off type and devices nobody would find
 * otherwise.
 */
import * as aml from './aml.js';
import { interrupt, ioPorts, memory32Fixed, resourceTemplate, type Trigger } from './resources.js';
import { makeTable, type Table } from './table.js';

/** Revision 2: integers are 64 bits wide. */
const REVISION = 2;

/** Present, enabled, functioning; not shown in a user interface. */
const STATUS = 0x0b;
const SLEEP_TYPE_S5 = 0;

/** A virtio device on the memory bus. */
export interface VirtioMmioRange {
  readonly address: number;
  readonly size: number;
  readonly gsi: number;
  /** Edge by default: what an irqfd without resampling gives. */
  readonly trigger?: Trigger;
}

/** What the DSDT describes. */
export interface DsdtOptions {
  readonly virtioMmio: readonly VirtioMmioRange[];
  /** Port of the pvpanic device, if there is one. */
  readonly pvpanicPort?: number;
  /** More terms for the system bus scope, such as a PCI host bridge. */
  readonly systemBus?: readonly aml.Aml[];
}

/** `\_S5`: values for PM1a_CNT.SLP_TYP and PM1b_CNT.SLP_TYP, and two that are reserved. */
function softOff(): aml.Aml {
  const type = aml.integer(SLEEP_TYPE_S5);
  return aml.name('\\_S5', aml.packageOf(type, type, aml.integer(0), aml.integer(0)));
}

/** The pvpanic device, as QEMU's specification has it. */
export function pvpanicDevice(port: number): aml.Aml {
  return aml.device(
    'PEVT',
    aml.name('_HID', aml.string('QEMU0001')),
    aml.name('_CRS', resourceTemplate(ioPorts(port, 1))),
    aml.name('_STA', aml.integer(STATUS)),
  );
}

/** A virtio-mmio transport; `index` makes its name and unique id. */
export function virtioMmioDevice(range: VirtioMmioRange, index: number): aml.Aml {
  const { address, size, gsi, trigger = 'edge' } = range;
  return aml.device(
    `VM${index.toString(16).toUpperCase().padStart(2, '0')}`,
    aml.name('_HID', aml.string('LNRO0005')),
    aml.name('_UID', aml.integer(index)),
    // Linux takes a device without it for one that cannot do DMA coherently on some platforms.
    aml.name('_CCA', aml.integer(1)),
    aml.name('_CRS', resourceTemplate(memory32Fixed(address, size), interrupt(gsi, trigger))),
  );
}

/** The AML of the DSDT, without its header. */
export function dsdtAml(options: DsdtOptions): aml.Aml {
  const { virtioMmio, pvpanicPort, systemBus = [] } = options;
  const devices = [
    ...(pvpanicPort === undefined ? [] : [pvpanicDevice(pvpanicPort)]),
    ...virtioMmio.map(virtioMmioDevice),
    ...systemBus,
  ];
  if (devices.length === 0) return softOff();
  return aml.concat(softOff(), aml.scope('\\_SB', ...devices));
}

/** Builds the DSDT. */
export function makeDsdt(options: DsdtOptions): Table {
  return makeTable('DSDT', REVISION, dsdtAml(options));
}
