/**
 * Random operations through the server, and the same on a directory of the host without it: each
 * ends in the same way, and both trees are the same in the end.
 */
import * as fs from 'node:fs';
import path from 'node:path';
import { systemCode } from '../../../src/util/errors.js';
import { errno } from '../../../src/fs/errors.js';
import { AttrValid } from '../../../src/fs/fuse/protocol.js';
import { FileType } from '../../../src/fs/index.js';
import { fuzz, type Random } from '../virtio/fuzz.js';
import { ROOT, ReplyError, outcome, type FuseClient } from './fuse-client.js';
import { Share } from './share.js';

const { O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW } = fs.constants;
const NAMES = ['a', 'b', 'c', 'dir', 'ü-ß', 'x'.repeat(255)];
const STEPS = 150;
const LARGEST = 200_000;

interface Open {
  handle: number;
  fd: number;
}

/** What happened on the host: OK or the code of the error. */
function hostOutcome(call: () => unknown): string {
  try {
    call();
    return 'OK';
  } catch (error) {
    return systemCode(error) ?? 'EIO';
  }
}

class Model {
  readonly open: Open[] = [];

  constructor(
    readonly client: FuseClient,
    /** The directory that is not shared. */
    readonly reference: string,
    readonly random: Random,
  ) {}

  /** A path of up to four names, often one that exists. */
  place(): string[] {
    const { random, reference } = this;
    const names: string[] = [];
    while (random.chance(60) && names.length < 3) {
      const there = fs.existsSync(path.join(reference, ...names, 'dir')) && random.chance(70);
      names.push(there ? 'dir' : random.pick(NAMES));
    }
    return [...names, random.pick(NAMES)];
  }

  at(names: readonly string[]): string {
    return path.join(this.reference, ...names);
  }

  /** Looks up the directory of a path as a kernel does; forgets it again most of the time. */
  inside<T>(names: readonly string[], use: (parent: number, name: string) => T): T {
    const found: number[] = [];
    try {
      let node = ROOT;
      for (const name of names.slice(0, -1)) {
        const entry = this.client.lookup(node, name);
        node = entry.nodeId;
        found.push(node);
        // A kernel follows links itself, and all of them lead nowhere.
        const type = entry.mode & FileType.Mask;
        if (type === FileType.Link) throw new ReplyError(errno.ENOENT);
        if (type !== FileType.Directory) throw new ReplyError(errno.ENOTDIR);
      }
      return use(node, names.at(-1)!);
    } finally {
      for (const node of found) if (this.random.chance(80)) this.client.forget(node);
    }
  }

  /** The node of a path. */
  node(names: readonly string[]): number {
    return this.inside(names, (parent, name) => this.client.lookup(parent, name).nodeId);
  }

  both(what: string, guest: () => unknown, host: () => unknown): void {
    const expected = hostOutcome(host);
    expect(`${what}: ${outcome(guest)}`).toBe(`${what}: ${expected}`);
  }

  step(): void {
    const { random, client } = this;
    const names = this.place();
    const at = this.at(names);
    const text = names.join('/').slice(0, 80);
    switch (random.below(13)) {
      case 0:
        this.both(
          `mkdir ${text}`,
          () => this.inside(names, (parent, name) => client.mkdir(parent, name, 0o750)),
          () => fs.mkdirSync(at, 0o750),
        );
        break;
      case 1:
        this.both(
          `rmdir ${text}`,
          () => this.inside(names, (parent, name) => client.rmdir(parent, name)),
          () => fs.rmdirSync(at),
        );
        break;
      case 2:
        this.both(
          `unlink ${text}`,
          () => this.inside(names, (parent, name) => client.unlink(parent, name)),
          () => fs.unlinkSync(at),
        );
        break;
      case 3:
      case 4: {
        const to = this.place();
        this.both(
          `rename ${text} ${to.join('/').slice(0, 80)}`,
          () =>
            this.inside(names, (parent, name) =>
              this.inside(to, (target, newName) => client.rename(parent, name, target, newName)),
            ),
          () => fs.renameSync(at, this.at(to)),
        );
        break;
      }
      case 5:
        this.both(
          `symlink ${text}`,
          () => this.inside(names, (parent, name) => client.symlink(parent, name, 'nowhere')),
          () => fs.symlinkSync('nowhere', at),
        );
        break;
      case 6: {
        const to = this.place();
        this.both(
          `link ${text} ${to.join('/').slice(0, 80)}`,
          () => {
            const node = this.node(names);
            return this.inside(to, (target, newName) => client.link(node, target, newName));
          },
          () => fs.linkSync(at, this.at(to)),
        );
        break;
      }
      case 7:
        this.both(
          `chmod ${text}`,
          () => client.setattr(this.node(names), AttrValid.Mode, { mode: 0o711 }),
          () => {
            if (fs.lstatSync(at).isSymbolicLink())
              throw Object.assign(new Error(), { code: 'ENOTSUP' });
            fs.chmodSync(at, 0o711);
          },
        );
        break;
      case 8:
        this.openFile(names, at);
        break;
      default:
        this.fileStep();
    }
  }

  private openFile(names: readonly string[], at: string): void {
    const { random, client } = this;
    const flags =
      O_RDWR |
      (random.chance(70) ? O_CREAT : 0) |
      (random.chance(20) ? O_EXCL : 0) |
      (random.chance(20) ? O_TRUNC : 0) |
      (random.chance(10) ? O_APPEND : 0);
    const opened: Partial<Open> = {};
    this.both(
      `open ${names.join('/').slice(0, 80)} ${flags.toString(8)}`,
      () =>
        (opened.handle =
          (flags & O_CREAT) !== 0
            ? this.inside(names, (parent, name) => client.create(parent, name, flags, 0o640).handle)
            : client.open(this.node(names), flags)),
      () => (opened.fd = fs.openSync(at, flags | O_NOFOLLOW, 0o640)),
    );
    if (opened.handle !== undefined) this.open.push(opened as Open);
  }

  /** What fsx does. */
  private fileStep(): void {
    const { random, client, open } = this;
    if (open.length === 0) return;
    const index = random.below(open.length);
    const { handle, fd } = open[index]!;
    const offset = random.below(LARGEST);
    const size = random.chance(50) ? random.below(100) : random.below(LARGEST);
    switch (random.below(6)) {
      case 0:
      case 1: {
        const data = Buffer.alloc(size, String(random.below(1e9)));
        expect(client.write(handle, offset, data)).toBe(fs.writeSync(fd, data, 0, size, offset));
        break;
      }
      case 2:
      case 3: {
        const data = Buffer.alloc(size);
        const length = fs.readSync(fd, data, 0, size, offset);
        expect(client.read(handle, offset, size).equals(data.subarray(0, length))).toBe(true);
        break;
      }
      case 4: {
        const { Size, Handle } = AttrValid;
        client.setattr(ROOT, Size | Handle, { size: BigInt(offset), handle: BigInt(handle) });
        fs.ftruncateSync(fd, offset);
        break;
      }
      default:
        client.release(handle);
        fs.closeSync(fd);
        open.splice(index, 1);
    }
    if (open.length > 6) {
      const { handle: oldest, fd: oldestFd } = open.shift()!;
      client.release(oldest);
      fs.closeSync(oldestFd);
    }
  }

  closeAll(): void {
    for (const { handle, fd } of this.open) {
      this.client.release(handle);
      fs.closeSync(fd);
    }
    this.open.length = 0;
  }

  /** The shared tree, as the guest sees it. */
  guestTree(node = ROOT, prefix = ''): string[] {
    const { client } = this;
    const lines: string[] = [];
    for (const { name, entry } of client.list(node, 4096, true)) {
      const { mode, size, nlink, nodeId } = entry!;
      const type = mode & FileType.Mask;
      const line = `${prefix}${name} ${mode.toString(8)} ${nlink}`;
      if (type === FileType.Directory) {
        lines.push(line, ...this.guestTree(nodeId, `${prefix}${name}/`));
      } else if (type === FileType.Link) {
        lines.push(`${line} ${client.readlink(nodeId)}`);
      } else {
        const handle = client.open(nodeId, 0);
        lines.push(`${line} ${size} ${client.read(handle, 0, 2 ** 20).toString('latin1')}`);
        client.release(handle);
      }
    }
    return lines.sort();
  }
}

function hostTree(directory: string, prefix = ''): string[] {
  const lines: string[] = [];
  for (const name of fs.readdirSync(directory)) {
    const at = path.join(directory, name);
    const stat = fs.lstatSync(at);
    const line = `${prefix}${name} ${stat.mode.toString(8)} ${stat.nlink}`;
    if (stat.isDirectory()) lines.push(line, ...hostTree(at, `${prefix}${name}/`));
    else if (stat.isSymbolicLink()) lines.push(`${line} ${fs.readlinkSync(at)}`);
    else lines.push(`${line} ${stat.size} ${fs.readFileSync(at, 'latin1')}`);
  }
  return lines.sort();
}

test.each([
  ['with descriptors for all', {}],
  ['with few descriptors', { maxNodeDescriptors: 12 }],
])('a share %s behaves as a directory does', (_, options) => {
  const rounds = fuzz((random) => {
    const share = new Share(options);
    const reference = fs.mkdtempSync(path.join(share.outside, 'reference-'));
    fs.chmodSync(share.path, 0o755);
    fs.chmodSync(reference, 0o755);
    const model = new Model(share.client, reference, random);
    try {
      for (let i = 0; i < STEPS; i++) model.step();
      const expected = hostTree(reference);
      expect(hostTree(share.path)).toEqual(expected);
      expect(model.guestTree()).toEqual(expected);
    } finally {
      model.closeAll();
      share.close();
    }
  });
  expect(rounds).toBeGreaterThan(0);
});
