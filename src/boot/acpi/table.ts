/**
 * What all ACPI tables have in common: the header, the checksum, generic addresses.
 *
 * ACPI 6.5, sections 5.2.3.2 (generic address structure) and 5.2.6 (description header).
 */
export const HEADER_SIZE = 36;

const OEM_ID = 'VEXIT ';
const OEM_TABLE_ID = 'VEXITVM ';
const CREATOR_ID = 'VXIT';

/** Bytes of a table, with its length, and its checksum once {@link seal} is called. */
export type Table = Uint8Array<ArrayBuffer>;

/** Sum of all bytes, modulo 256; 0 for a table that is right. */
export function sumOf(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** Makes the bytes sum to 0 by setting the one at `at`. */
export function seal(bytes: Uint8Array, at: number): void {
  bytes[at] = 0;
  bytes[at] = -sumOf(bytes) & 0xff;
}

/** Puts ASCII text at an offset. */
export function putText(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}

/** A table with this body, complete with header and checksum. */
export function makeTable(signature: string, revision: number, body: Uint8Array): Table {
  const table = new Uint8Array(HEADER_SIZE + body.length);
  const view = new DataView(table.buffer);
  putText(table, 0, signature);
  view.setUint32(4, table.length, true);
  table[8] = revision;
  putText(table, 10, OEM_ID);
  putText(table, 16, OEM_TABLE_ID);
  view.setUint32(24, 1, true);
  putText(table, 28, CREATOR_ID);
  view.setUint32(32, 1, true);
  table.set(body, HEADER_SIZE);
  seal(table, 9);
  return table;
}

/** The OEM id, for the RSDP. */
export function putOemId(bytes: Uint8Array, at: number): void {
  putText(bytes, at, OEM_ID);
}

/** Writes a generic address structure for an I/O port. */
export function putIoAddress(
  view: DataView,
  at: number,
  port: number,
  bytes: number,
  accessSize: number,
): void {
  view.setUint8(at, 1);
  view.setUint8(at + 1, 8 * bytes);
  view.setUint8(at + 2, 0);
  view.setUint8(at + 3, accessSize);
  view.setBigUint64(at + 4, BigInt(port), true);
}
