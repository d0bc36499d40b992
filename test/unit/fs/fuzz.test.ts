/** Random requests: the server answers each once, and a share is as usable afterwards as before. */
import * as fs from 'node:fs';
import { IN_HEADER_BYTES, Opcode } from '../../../src/fs/fuse/protocol.js';
import { FuseServer } from '../../../src/fs/index.js';
import { fuzz, type Random } from '../virtio/fuzz.js';
import { TreeFileSystem } from './example-tree.js';
import { FuseClient, ROOT, encode, header, type Field } from './fuse-client.js';
import { Share } from './share.js';

const REQUESTS = 300;
/** SYNCFS would write back the disk of whoever runs the tests, FAllocate fill it. */
const SKIPPED: readonly number[] = [Opcode.SyncFs, Opcode.FAllocate, Opcode.FSync, Opcode.FSyncDir];
const OPCODES = Object.values(Opcode).filter(
  (value): value is Opcode => typeof value === 'number' && !SKIPPED.includes(value),
);
const NAMES = ['a', 'b', 'dir', 'link', '..', '.', '', 'a/b', 'x'.repeat(300), '../../x', '\u00ff'];

/** Numbers that are often those of nodes and files. */
function number(random: Random): bigint {
  if (random.chance(80)) return BigInt(random.below(12));
  return (BigInt(random.word()) << 32n) | BigInt(random.word());
}

/** A body of the right kind of fields, more or less. */
function body(random: Random, opcode: number): Field[] {
  const fields: Field[] = [];
  const words = random.below(24);
  for (let i = 0; i < words; i++) {
    const small = random.chance(70);
    fields.push(small ? random.below(16) : random.word());
  }
  // Most have a name or two at the end of few numbers.
  if (random.chance(60)) {
    fields.length = Math.min(fields.length, random.pick([0, 0, 2, 4, 4]));
    fields.push(random.pick(NAMES));
    if (random.chance(50)) fields.push(random.pick(NAMES));
  } else if (opcode === Opcode.Write || random.chance(40)) {
    const size = random.below(200);
    const offset = random.chance(90) ? BigInt(random.below(10_000)) : number(random);
    return [number(random), offset, size, random.below(8), 0n, 0, 0, new Uint8Array(size)];
  }
  return fields;
}

function attack(client: FuseClient, random: Random): number {
  let sent = 0;
  let answered = 0;
  for (let i = 0; i < REQUESTS; i++) {
    const opcode = random.chance(95) ? random.pick(OPCODES) : random.word();
    if (SKIPPED.includes(opcode) || (opcode === Opcode.Destroy && random.chance(90))) continue;
    const bytes = encode(...body(random, opcode));
    const length = random.chance(97) ? IN_HEADER_BYTES + bytes.length : random.word();
    const nodeId = number(random);
    const request = Buffer.concat([header(opcode, 0, { nodeId, length }), bytes]);
    if (random.chance(5)) request[random.below(request.length)] = random.below(256);
    const cut = random.chance(97) ? request.length : random.below(request.length);
    // A byte that was changed may have made it one of these.
    if (SKIPPED.includes(request.readUInt32LE(4))) continue;
    const room = random.chance(90) ? 0x2000 : random.below(200);
    sent++;
    client.raw(
      request.subarray(0, cut),
      (answer) => {
        answered++;
        expect(answer.length).toBeLessThanOrEqual(room);
        if (answer.length === 0) return;
        expect(answer.readUInt32LE(0)).toBe(answer.length);
        expect(answer.readInt32LE(4)).toBeLessThanOrEqual(0);
        expect(answer.readInt32LE(4)).toBeGreaterThan(-4096);
      },
      room,
    );
  }
  return sent - answered;
}

test('F14: a share', () => {
  const rounds = fuzz((random) => {
    const share = new Share({
      maxNodeDescriptors: 16,
      maxFileDescriptors: 32,
      maxNodes: 64,
      locks: random.chance(50) ? 'shared' : 'guest',
      cache: random.pick(['none', 'auto', 'always'] as const),
    });
    fs.mkdirSync(share.at('dir'));
    fs.writeFileSync(share.at('a'), 'a');
    fs.symlinkSync('/etc', share.at('link'));
    const unanswered = attack(share.client, random);
    expect(unanswered).toBe(share.server.waiting);
    share.client.init();
    expect(fs.readdirSync(share.outside)).toHaveLength(1);
    expect(share.client.mkdir(ROOT, 'after').nlink).toBe(2);
    // EIO is an answer to nonsense before INIT only; nothing has thrown something unknown.
    expect(share.lines).toEqual([]);
    share.close();
  });
  expect(rounds).toBeGreaterThan(1);
});

test('F14: a file system of promises', async () => {
  const tails: Promise<void>[] = [];
  fuzz((random) => {
    const server = new FuseServer(new TreeFileSystem({ a: 'a', dir: { b: 'b' } }));
    const client = new FuseClient(server);
    client.init();
    attack(client, random);
    client.init();
    const done = client.later(Opcode.Lookup, { nodeId: ROOT }, encode('dir'));
    tails.push(done.then(() => client.close()));
  });
  await Promise.all(tails.splice(0));
});
