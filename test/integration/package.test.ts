/**
 * The package as it is published: packed, installed without scripts in an empty directory, and used
 * there by `require` and by `import`, with the devices and backends that the documents show.
 */
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { transformSync } from 'esbuild';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { PackedPackage } from '../support/packed';

const ROOT = path.resolve(__dirname, '../..');
const EXAMPLES = {
  device: 'test/unit/virtio/example-device.ts',
  backend: 'test/unit/block/http-disk.ts',
};

/** Runs two guests: one talks to the device, one reads blocks that come over HTTP. */
const PROGRAM = `
async function run(kernel, options) {
  const vm = await VirtualMachine.create({ kernel, memory: '16M', ...options });
  vm.on('note', (line) => console.error(line));
  let shown = '';
  vm.serial.output.on('data', (bytes) => {
    shown += bytes;
    if (shown.endsWith('done\\n')) vm.serial.input.write('.'.repeat(64));
  });
  await vm.start();
  const { reason } = await vm.wait();
  console.log(shown + 'reason=' + reason);
}
const [, , extension, virtio, disk, url] = process.argv;
const here = process.cwd();
async function main() {
  const device = { module: here + '/device.' + extension, export: 'TextDevice' };
  await run(virtio, { rng: true, devices: [device] });
  const backend = { module: here + '/backend.' + extension, export: 'httpDisk', options: url };
  await run(disk, { disks: [{ backend }], cmdline: 'do=s0;r3,4;w0,1,1;x;' });
}
void main();
`;

let installed: PackedPackage;
let server: Server;
let url = '';
const content = Buffer.alloc(64 * 1024);
for (let i = 0; i < content.length; i += 512) content.writeUInt32LE(0x1000 + i / 512, i);

beforeAll(async () => {
  installed = PackedPackage.install();
  for (const [name, file] of Object.entries(EXAMPLES)) {
    const source = readFileSync(path.join(ROOT, file), 'utf8');
    installed.write(`${name}.ts`, source);
    for (const [extension, format] of [
      ['cjs', 'cjs'],
      ['mjs', 'esm'],
    ] as const) {
      const { code } = transformSync(source, { loader: 'ts', format, target: 'node20' });
      installed.write(`${name}.${extension}`, code);
    }
  }
  installed.write('main.cjs', `const { VirtualMachine } = require('vexit');${PROGRAM}`);
  installed.write('main.mjs', `import { VirtualMachine } from 'vexit';${PROGRAM}`);
  server = createServer((request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (from === undefined || to === undefined) {
      response.writeHead(200, { 'content-length': content.length, 'accept-ranges': 'bytes' });
      response.end();
      return;
    }
    const body = content.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, { 'content-length': body.length }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk`;
}, 120_000);

afterAll(() => {
  server.closeAllConnections();
  server.close();
  installed.remove();
});

test('the package needs no other', () => {
  const modules = path.join(installed.user, 'node_modules');
  expect(readdirSync(modules).filter((name) => !name.startsWith('.'))).toEqual(['vexit']);
});

test('loading it reads one file, and others when they are asked for', () => {
  installed.write('vms.yaml', 'vms: none');
  installed.write(
    'files.cjs',
    `const { Vexit } = require('vexit');
const files = () => Object.keys(require.cache).map((file) => require('path').basename(file));
const before = files();
new Vexit('state').up('vms.yaml').catch(({ code }) => {
  console.log(JSON.stringify({ code, before, after: files() }));
});`,
  );
  const options = { cwd: installed.user, encoding: 'utf8' } as const;
  const text = execFileSync(process.execPath, ['files.cjs'], options);
  expect(JSON.parse(text)).toEqual({
    code: 'ERR_PROJECT',
    before: ['files.cjs', 'index.js'],
    after: ['files.cjs', 'index.js', 'yaml.js'],
  });
});

test('its declarations are enough to compile the examples', () => {
  const config = {
    compilerOptions: {
      ...{ strict: true, noEmit: true, target: 'ES2022', module: 'Node16' },
      ...{ moduleResolution: 'Node16', types: ['node'], skipLibCheck: false },
      lib: ['ES2023', 'ESNext.Disposable'],
      typeRoots: [path.join(ROOT, 'node_modules/@types')],
    },
    files: Object.keys(EXAMPLES).map((name) => `${name}.ts`),
  };
  const { user } = installed;
  installed.write('tsconfig.json', JSON.stringify(config));
  const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  let errors = '';
  try {
    execFileSync(process.execPath, [tsc, '-p', user], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    errors = (error as { stdout: string }).stdout;
  }
  expect(errors).toBe('');
});

describeKvm('in a directory that has nothing but the package', () => {
  test.each([
    ['require', 'cjs'],
    ['import', 'mjs'],
  ])('the example device and the HTTP backend work by %s', async (_, extension) => {
    const args = [`main.${extension}`, extension, buildGuest('virtio'), buildGuest('disk'), url];
    const options = { cwd: installed.user, timeout: 60_000 };
    const { stdout } = await promisify(execFile)(process.execPath, args, options);
    expect(stdout).toContain('answer=HELLO, WORLD\nanswered=3\n');
    expect(stdout).toContain('capacity=80\nread=0\nfirst=1003\ndifferent=0\nwritten=1\n');
    expect(stdout.match(/^reason=power-off$/gm)).toHaveLength(2);
  });
});
