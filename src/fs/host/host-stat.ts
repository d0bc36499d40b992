/** Attributes of host files: the addon's numbers, and what the guest gets to see of them. */
import { native } from '../../kvm/native.js';
import { StatField as S } from '../../kvm/native-fs.js';
import { errnoError } from '../errors.js';
import type { Attributes } from '../file-system.js';
import type { IdMap } from './id-map.js';

/** Above this the upper half of an inode number does not fit into a number of JavaScript. */
const SAFE_HIGH = 2 ** 21;
/** Inode numbers of other file systems below the shared directory are told apart by their upper bits. */
const DEVICE_BIT = 48n;

/** The result of the last `stat`, and its translation. One buffer for all of a share. */
export class HostStat {
  readonly fields = new Float64Array(S.Count);
  readonly view = new DataView(this.fields.buffer);
  private readonly attributes: Attributes = { mode: 0 };
  private readonly devices = new Map<number, bigint>();

  constructor(
    private readonly uids: IdMap,
    private readonly gids: IdMap,
  ) {}

  /** @throws FsError as of statx(2) */
  of(fd: number): this {
    const result = native().fsStat(fd, this.view);
    if (result < 0) throw errnoError(-result);
    return this;
  }

  get mode(): number {
    return this.fields[S.Mode]!;
  }

  get uid(): number {
    return this.fields[S.Uid]!;
  }

  get gid(): number {
    return this.fields[S.Gid]!;
  }

  /** The device as one number. */
  get device(): number {
    return this.fields[S.DevMajor]! * 2 ** 20 + this.fields[S.DevMinor]!;
  }

  /** Inode numbers as the guest sees them. */
  private get ino(): number | bigint {
    const low = this.fields[S.InoLow]!;
    const high = this.fields[S.InoHigh]!;
    const { device } = this;
    let index = this.devices.get(device);
    if (index === undefined) this.devices.set(device, (index = BigInt(this.devices.size)));
    if (index === 0n && high < SAFE_HIGH) return high * 2 ** 32 + low;
    const ino = (BigInt(high) << 32n) + BigInt(low);
    return BigInt.asUintN(64, ino ^ (index << DEVICE_BIT));
  }

  /** The attributes as the guest sees them. The object is the same at each call. */
  translate(): Attributes {
    const { fields, attributes: a } = this;
    const minor = fields[S.RdevMinor]!;
    a.mode = fields[S.Mode]!;
    a.size = fields[S.Size]!;
    a.ino = this.ino;
    a.links = fields[S.Links]!;
    a.uid = this.uids.toGuest(fields[S.Uid]!);
    a.gid = this.gids.toGuest(fields[S.Gid]!);
    a.blocks = fields[S.Blocks]!;
    a.blockSize = fields[S.BlockSize]!;
    a.atime = fields[S.Atime]!;
    a.atimeNs = fields[S.AtimeNs]!;
    a.mtime = fields[S.Mtime]!;
    a.mtimeNs = fields[S.MtimeNs]!;
    a.ctime = fields[S.Ctime]!;
    a.ctimeNs = fields[S.CtimeNs]!;
    // new_encode_dev() of Linux.
    a.device = (minor & 0xff) | (fields[S.RdevMajor]! << 8) | ((minor & ~0xff) << 12);
    return a;
  }
}
