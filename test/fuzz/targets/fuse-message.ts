/** FUSE requests that a case spells out: the right fields for each operation, with any values. */
import { IN_HEADER_BYTES, Opcode as O, ROOT_ID } from '../../../src/fs/fuse/protocol.js';
import type { Input } from '../engine/input.js';

/**
 * The fields of each request: `w` a word, `f` flags, `q` 64 bits, `h` a handle, `i` a node, `n` a
 * name, `d` data with their length in the word before last, `t` pairs of node and count.
 */
const BODIES: readonly (readonly [O, string])[] = [
  [O.Lookup, 'n'],
  [O.Forget, 'q'],
  [O.GetAttr, 'fwh'],
  [O.SetAttr, 'fwhqqqqqwwwfwwww'],
  [O.ReadLink, ''],
  [O.Symlink, 'nn'],
  [O.MkNod, 'fwwwn'],
  [O.MkDir, 'fwn'],
  [O.Unlink, 'n'],
  [O.RmDir, 'n'],
  [O.Rename, 'inn'],
  [O.Link, 'in'],
  [O.Open, 'ff'],
  [O.Read, 'hqwfqww'],
  [O.Write, 'hqlfqwwd'],
  [O.StatFs, ''],
  [O.Release, 'hffq'],
  [O.FSync, 'hfw'],
  [O.SetXattr, 'lfnd'],
  [O.GetXattr, 'wwn'],
  [O.ListXattr, 'ww'],
  [O.RemoveXattr, 'n'],
  [O.Flush, 'hwwq'],
  [O.Init, 'vvwmmwwwwwwwwwww'],
  [O.OpenDir, 'ff'],
  [O.ReadDir, 'hqwfqww'],
  [O.ReleaseDir, 'hffq'],
  [O.FSyncDir, 'hfw'],
  [O.GetLk, 'hqqqfwfw'],
  [O.SetLk, 'hqqqfwfw'],
  [O.Access, 'fw'],
  [O.Create, 'ffwfn'],
  [O.Interrupt, 'q'],
  [O.BMap, 'qww'],
  [O.Destroy, ''],
  [O.IoCtl, 'hfqqww'],
  [O.BatchForget, 'tw'],
  [O.FAllocate, 'hqqfw'],
  [O.ReadDirPlus, 'hqwfqww'],
  [O.Rename2, 'ifwnn'],
  [O.LSeek, 'hqfw'],
  [O.CopyFileRange, 'hqihqqq'],
  [O.SyncFs, 'q'],
  [O.SetLkW, 'hqqqfwfw'],
];
/** Without SETLKW, which may be answered at some later time. */
export const PROMPT_KINDS = BODIES.length - 1;
export const ALL_KINDS = BODIES.length;

const NAMES = ['a', 'b', 'dir', 'link', 'c', 'd', '..', '.', '', 'a/b', 'x'.repeat(300), '\u00e9'];
const encoder = new TextEncoder();
const ENCODED_NAMES = NAMES.map((name) => encoder.encode(`${name}\0`));
const scratch = new Uint8Array(2048);
const view = new DataView(scratch.buffer);

/** A request; valid until the next call. */
export function fuseMessage(input: Input, kinds: number, unique: number): Uint8Array {
  const [opcode, fields] = BODIES[input.below(kinds)]!;
  let at = IN_HEADER_BYTES;
  const data = fields.endsWith('d') ? input.take(input.below(80)) : new Uint8Array(0);
  const word = (value: number): void => {
    view.setUint32(at, value, true);
    at += 4;
  };
  const long = (value: bigint): void => {
    view.setBigUint64(at, value, true);
    at += 8;
  };
  const put = (bytes: Uint8Array): void => {
    scratch.set(bytes, at);
    at += bytes.length;
  };
  const small = (): bigint => (input.chance(16) ? input.long() : BigInt(input.below(10)));
  for (const field of fields) {
    if (field === 'w') word(input.word());
    else if (field === 'f') word(input.chance(32) ? input.word() : input.u16());
    else if (field === 'q') long(input.long());
    else if (field === 'h' || field === 'i') long(small());
    else if (field === 'n') put(name(input));
    else if (field === 'l') word(input.chance(16) ? input.word() : data.length);
    else if (field === 'd') put(data);
    else if (field === 'v') word(input.chance(16) ? input.word() : at === 40 ? 7 : 38);
    else if (field === 'm') word(input.chance(200) ? 0x73ff_ffff : input.word());
    else {
      const count = input.below(8);
      word(input.chance(16) ? input.word() : count);
      word(0);
      for (let i = 0; i < count; i++) {
        long(small());
        long(small());
      }
    }
  }
  view.setUint32(0, input.chance(8) ? input.word() : at, true);
  view.setUint32(4, input.chance(4) ? input.word() : opcode, true);
  view.setBigUint64(8, BigInt(unique), true);
  const node = input.below(12);
  view.setBigUint64(16, input.chance(8) ? input.long() : BigInt(node === 0 ? ROOT_ID : node), true);
  scratch.fill(0, 24, IN_HEADER_BYTES);
  return scratch.subarray(0, input.chance(8) ? input.below(at + 1) : at);
}

function name(input: Input): Uint8Array {
  const kind = input.u8();
  if (kind < 240) return ENCODED_NAMES[kind % ENCODED_NAMES.length]!;
  return input.take(input.below(40));
}

/** INIT as Linux sends it. */
export function initMessage(): Uint8Array {
  const message = new Uint8Array(IN_HEADER_BYTES + 64);
  const words = new DataView(message.buffer);
  words.setUint32(0, message.length, true);
  words.setUint32(4, O.Init, true);
  words.setUint32(8, 1, true);
  words.setUint32(40, 7, true);
  words.setUint32(44, 38, true);
  words.setUint32(48, 0x20000, true);
  words.setUint32(52, 0x73ff_ffff, true);
  return message;
}
