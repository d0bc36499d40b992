/** Linux that reboots by itself, and is reset: all devices serve its next life as they did the first. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { VirtualMachine } from 'vexit';
import { describeKvm } from '../support/kvm.js';

const TIMEOUT_MS = 600_000;
jest.setTimeout(TIMEOUT_MS);

describeKvm('Linux that starts again', () => {
  let directory = '';
  let vm: VirtualMachine;
  let server: Server;
  let reboots = 0;

  beforeAll(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-reboot-'));
    mkdirSync(path.join(directory, 'share'));
    const disk = path.join(directory, 'disk.img');
    writeFileSync(disk, '');
    truncateSync(disk, 1 << 20);
    server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    vm = await VirtualMachine.create({
      agent: true,
      vsock: true,
      net: { host: true },
      shares: [{ hostPath: path.join(directory, 'share'), guestPath: '/mnt' }],
      disks: [{ path: disk, root: false }],
    });
    vm.on('reboot', () => reboots++);
    vm.console.output.resume();
    await vm.start();
    await vm.agent!.ready();
  });

  afterAll(async () => {
    await vm.stop();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Uses network, shared directory and disk in the guest; what it has seen. */
  async function life(number: number): Promise<string> {
    const { port } = server.address() as AddressInfo;
    const script = [
      `wget -q -O- http://10.0.2.2:${port}/ && echo`,
      `echo life ${number} > /mnt/life${number} && sync -f /mnt && cat /mnt/life*`,
      `dd if=/dev/vda bs=512 count=1 2>/dev/null | tr -d '\\0'`,
      `printf 'block of life ${number}\\n' | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null`,
      'cat /sys/class/net/eth0/operstate',
    ];
    const { status, stdout, stderr } = await vm.agent!.run(['sh', '-c', script.join(' && ')]);
    return `${stdout.toString()}${stderr.toString()}${status === 0 ? '' : `status ${status}`}`;
  }

  async function rebooted(count: number): Promise<void> {
    while (reboots < count) await new Promise((resolve) => setTimeout(resolve, 50));
    await vm.agent!.ready();
  }

  test('has its network, shares, disk and agent each time', async () => {
    expect(await life(1)).toBe('hello\nlife 1\nup\n');
    // Nothing is left to answer once it has begun.
    vm.agent!.run(['reboot', '-f']).catch(() => undefined);
    await rebooted(1);
    expect(await life(2)).toBe('hello\nlife 1\nlife 2\nblock of life 1\nup\n');
    expect(readFileSync(path.join(directory, 'share', 'life2'), 'utf8')).toBe('life 2\n');
    expect(existsSync(path.join(directory, 'share', 'life3'))).toBe(false);
    vm.agent!.run(['sh', '-c', 'echo b > /proc/sysrq-trigger']).catch(() => undefined);
    await rebooted(2);
    expect(await life(3)).toBe('hello\nlife 1\nlife 2\nlife 3\nblock of life 2\nup\n');
  });
});
