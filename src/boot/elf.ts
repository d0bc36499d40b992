/**
 * ELF executables: System V ABI, chapters 4 and 5 (ELF header, program header), and the notes
 * that say what a kernel is. Everything is checked against the file before it is used.
 */
import { VexitError } from '../util/errors.js';
import type { BootSource } from './boot-source.js';

const EI_CLASS = 4;
const EI_DATA = 5;
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** Far more than any kernel has; bounds the work on a hostile file. */
const MAX_PROGRAM_HEADERS = 256;
const MAX_NOTE_BYTES = 0x10000;

/** Entry of a program header of type PT_LOAD that takes memory. */
export interface ElfSegment {
  readonly offset: number;
  readonly fileSize: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  readonly memorySize: number;
}

/** A note of a PT_NOTE segment. */
export interface ElfNote {
  readonly owner: string;
  readonly type: number;
  readonly description: Uint8Array;
}

/** An executable whose headers are sound. Values above 2^53 are rounded, never made small. */
export interface ElfFile {
  readonly is64: boolean;
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  readonly notes: readonly ElfNote[];
}

/** True when a file begins like an ELF file. */
export function isElf(head: Uint8Array): boolean {
  return head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Field offsets and the word size of one ELF class. */
interface ElfClass {
  readonly headerSize: number;
  readonly word: (view: DataView, offset: number) => number;
  readonly phoff: number;
  readonly phentsizeField: number;
  readonly phentsize: number;
  /** p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align. */
  readonly ph: readonly [number, number, number, number, number, number];
}

const CLASS64: ElfClass = {
  headerSize: 64,
  word: (view, offset) => Number(view.getBigUint64(offset, true)),
  phoff: 32,
  phentsizeField: 54,
  phentsize: 56,
  ph: [8, 16, 24, 32, 40, 48],
};
const CLASS32: ElfClass = {
  headerSize: 52,
  word: (view, offset) => view.getUint32(offset, true),
  phoff: 28,
  phentsizeField: 42,
  phentsize: 32,
  ph: [4, 8, 12, 16, 20, 28],
};

/**
 * Reads the headers and notes of an executable for x86.
 * @throws VexitError ERR_KERNEL with the field that is wrong
 */
export function readElf(source: BootSource): ElfFile {
  const bad = (what: string, hint = 'the file is damaged: copy or build it again'): VexitError =>
    new VexitError('ERR_KERNEL', `${source.name}: ${what}`, hint);
  if (source.size < CLASS32.headerSize) throw bad('is cut short inside the ELF header');
  const head = source.bytes(0, Math.min(source.size, CLASS64.headerSize));
  const view = viewOf(head);
  const elfClass = head[EI_CLASS];
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) {
    throw bad(`ELF class ${elfClass ?? 0} is neither 32-bit nor 64-bit`);
  }
  const layout = elfClass === ELFCLASS64 ? CLASS64 : CLASS32;
  if (head.length < layout.headerSize) throw bad('is cut short inside the ELF header');
  const wrongMachine = 'give a kernel that is built for x86';
  if (head[EI_DATA] !== ELFDATA2LSB) throw bad('is not little-endian', wrongMachine);
  const machine = view.getUint16(18, true);
  if (machine !== EM_X86_64 && !(machine === EM_386 && layout === CLASS32)) {
    throw bad(`is for another processor (ELF machine ${machine})`, wrongMachine);
  }
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw bad(`is no executable (ELF type ${type})`, 'give the linked kernel');
  }
  if (view.getUint32(20, true) !== 1) throw bad('the ELF version is not 1');
  const phentsize = view.getUint16(layout.phentsizeField, true);
  const count = view.getUint16(layout.phentsizeField + 2, true);
  if (count === 0) throw bad('has no program headers', 'give the linked kernel');
  if (phentsize !== layout.phentsize) throw bad(`program headers of ${phentsize} bytes`);
  if (count > MAX_PROGRAM_HEADERS) throw bad(`has ${count} program headers`);
  const phoff = layout.word(view, layout.phoff);
  if (!(phoff + count * phentsize <= source.size)) {
    throw bad('the program headers lie outside the file');
  }
  const table = viewOf(source.bytes(phoff, count * phentsize));
  const segments: ElfSegment[] = [];
  const notes: ElfNote[] = [];
  for (let index = 0; index < count; index++) {
    const at = index * phentsize;
    const kind = table.getUint32(at, true);
    if (kind !== PT_LOAD && kind !== PT_NOTE) continue;
    const [offset, virtualAddress, physicalAddress, fileSize, memorySize, align] = layout.ph.map(
      (field) => layout.word(table, at + field),
    ) as [number, number, number, number, number, number];
    if (!(offset + fileSize <= source.size)) {
      throw bad(`program header ${index} names bytes outside the file`);
    }
    if (kind === PT_NOTE) {
      if (fileSize > MAX_NOTE_BYTES) throw bad(`program header ${index} has too many notes`);
      if (fileSize > 0) notes.push(...readNotes(source.bytes(offset, fileSize), align));
      continue;
    }
    if (!(fileSize <= memorySize)) {
      throw bad(`program header ${index} has more bytes in the file than in memory`);
    }
    if (memorySize > 0) {
      segments.push({ offset, fileSize, virtualAddress, physicalAddress, memorySize });
    }
  }
  if (segments.length === 0) throw bad('has nothing to load', 'give the linked kernel');
  return { is64: layout === CLASS64, entry: layout.word(view, 24), segments, notes };
}

/** The notes of a segment; what is cut short at the end is left out. */
function readNotes(bytes: Uint8Array, align: number): ElfNote[] {
  const view = viewOf(bytes);
  const unit = align === 8 ? 8 : 4;
  const pad = (size: number): number => Math.ceil(size / unit) * unit;
  const notes: ElfNote[] = [];
  for (let at = 0; at + 12 <= bytes.length;) {
    const nameSize = view.getUint32(at, true);
    const descriptionSize = view.getUint32(at + 4, true);
    const description = at + pad(12 + nameSize);
    if (description + descriptionSize > bytes.length) break;
    const name = bytes.subarray(at + 12, at + 12 + Math.min(nameSize, 16));
    const terminator = name.indexOf(0);
    notes.push({
      owner: Buffer.from(terminator < 0 ? name : name.subarray(0, terminator)).toString('latin1'),
      type: view.getUint32(at + 8, true),
      description: bytes.subarray(description, description + descriptionSize),
    });
    at = description + pad(descriptionSize);
  }
  return notes;
}
