/** The library's life of a VM: every state, many VMs at once, slow and absent readers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import type { Worker } from 'node:worker_threads';
import { runInNewContext } from 'node:vm';
import { VirtualMachine, type VmState } from 'vexit';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { Guest, checkLeaks, until } from '../support/run-guest';
import { thrownBy } from '../support/thrown';

/** What the guest's flood of `blocks` blocks of 4 KiB looks like, see control.c. */
function flood(blocks: number): Buffer {
  const block = Buffer.alloc(4096);
  for (let i = 0; i < block.length; i++) block[i] = (Math.imul(i, 2654435761) >>> 24) ^ i;
  const all = Buffer.alloc(blocks * block.length);
  for (let round = 0; round < blocks; round++) {
    block[0] = round;
    block.copy(all, round * block.length);
  }
  return all;
}

/** Bytes that are in use after a garbage collection. */
function reachable(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

describeKvm('life of a VM', () => {
  checkLeaks();

  test('states and events, from create to the end', async () => {
    await using guest = await Guest.create('control', { cmdline: 'do=e', name: 'first' });
    const { vm } = guest;
    const states: VmState[] = [];
    vm.on('state', (state) => states.push(state));
    expect(vm.name).toBe('first');
    expect(vm.state).toBe('created');
    expect(vm.exitReport).toBeUndefined();
    expect(vm.firstRunTime).toBe(0);
    await vm.start();
    expect(vm.state).toBe('running');
    await guest.shows('ready\n');
    expect(vm.firstRunTime).toBeGreaterThan(0);
    await vm.pause();
    expect(vm.state).toBe('paused');
    await vm.resume();
    guest.send('p');
    const { report } = await guest.ended();
    expect(report.reason).toBe('power-off');
    expect(vm.exitReport).toEqual(report);
    await expect(vm.wait()).resolves.toEqual(report);
    expect(states).toEqual(['running', 'paused', 'running', 'stopped']);
  });

  test('what a state does not allow is ERR_STATE', async () => {
    await using guest = await Guest.create('control');
    const { vm } = guest;
    const wrongState = { code: 'ERR_STATE' };
    await expect(vm.pause()).rejects.toMatchObject(wrongState);
    await expect(vm.resume()).rejects.toMatchObject(wrongState);
    // Both at once: the first one wins.
    const starts = await Promise.allSettled([vm.start(), vm.start()]);
    expect(starts.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(starts[1]).toMatchObject({ reason: wrongState });
    await expect(vm.resume()).rejects.toMatchObject(wrongState);
    await vm.pause();
    await expect(vm.pause()).rejects.toMatchObject(wrongState);
    await expect(vm.start()).rejects.toMatchObject(wrongState);
    expect(thrownBy(() => vm.pressPowerButton())).toMatchObject(wrongState);
    await vm.stop();
    await expect(vm.start()).rejects.toMatchObject(wrongState);
    await expect(vm.pause()).rejects.toMatchObject(wrongState);
    await expect(vm.stop()).resolves.toBeUndefined();
  });

  test('an error in create leaves nothing behind', async () => {
    const kernel = buildGuest('control');
    for (const options of [
      { kernel: '/nonexistent' },
      { kernel, kvmDevice: '/nonexistent' },
      { kernel, kvmDevice: '/dev/null' },
      { kernel, initrd: '/nonexistent' },
      { kernel, cpus: 33 },
      { kernel, memory: '3' },
    ]) {
      await expect(VirtualMachine.create(options)).rejects.toMatchObject({ name: 'VexitError' });
    }
  });

  test.each([
    { what: 'spins', command: 's', begins: 'spin\n', ends: 'spun\n' },
    { what: 'is in a loop of port I/O', command: 'i', begins: 'pio\n', ends: 'pio done\n' },
    { what: 'is in a loop of MMIO', command: 'm', begins: 'mmio\n', ends: 'mmio done\n' },
    { what: 'is in string I/O', command: 'R', begins: 'string\n', ends: 'string done\n' },
  ])('G12: pause and resume while the guest $what', async ({ command, begins, ends }) => {
    await using guest = await Guest.start('control', { cmdline: `do=${command}` });
    await guest.shows(begins);
    await guest.vm.pause();
    const before = guest.serial;
    expect(before).not.toContain(ends);
    await sleep(700);
    expect(guest.serial).toBe(before);
    await guest.vm.resume();
    for (let i = 0; i < 5; i++) {
      await guest.vm.pause();
      await guest.vm.resume();
    }
    await guest.shows(ends);
    await guest.shows('ready\n');
    guest.send('ep');
    const { report, serial } = await guest.ended();
    expect(report.reason).toBe('power-off');
    expect(serial).toContain('echo\n');
  });

  test('G12: pause and resume between interrupts, with the processor halted', async () => {
    await using guest = await Guest.start('interrupts');
    await guest.shows('echo ready\n');
    await guest.vm.pause();
    guest.send('while paused');
    await sleep(200);
    expect(guest.serial).not.toContain('WHILE');
    await guest.vm.resume();
    await guest.shows('WHILE PAUSED');
    guest.send('.');
    expect((await guest.ended()).report.reason).toBe('power-off');
  });

  test.each([
    { what: 'spinning', command: 'S', begins: 'spin\n', cpus: 1 },
    { what: 'halted with interrupts off (G10)', command: 'h', begins: 'hlt\n', cpus: 1 },
    { what: 'in port I/O', command: 'I', begins: 'pio\n', cpus: 1 },
    { what: 'in MMIO', command: 'M', begins: 'mmio\n', cpus: 1 },
    { what: 'beside a processor that waits for SIPI', command: 'S', begins: 'spin\n', cpus: 2 },
  ])('G12: pause, resume and stop a guest $what', async ({ command, begins, cpus }) => {
    await using guest = await Guest.start('control', { cmdline: `do=${command}`, cpus });
    await guest.shows(begins);
    for (let i = 0; i < 3; i++) {
      await guest.vm.pause();
      expect(guest.vm.state).toBe('paused');
      await guest.vm.resume();
    }
    const start = Date.now();
    await guest.vm.stop();
    expect(Date.now() - start).toBeLessThan(2000);
    const { report } = await guest.ended();
    expect(report).toMatchObject({ reason: 'stopped', status: 130 });
  });

  test.each([
    { what: 'powers off', command: 'p', onReboot: 'exit', reason: 'power-off' },
    { what: 'resets', command: 'k', onReboot: 'exit', reason: 'reset' },
    { what: 'resets and starts again', command: 'k', onReboot: 'restart', reason: 'stopped' },
  ] as const)('pause at the moment the guest $what', async ({ command, onReboot, reason }) => {
    await using guest = await Guest.start('control', { onReboot });
    await guest.shows('ready\n');
    guest.send(command);
    // The guest acts while this thread does not look.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    await expect(guest.vm.pause()).rejects.toMatchObject({ code: 'ERR_STATE' });
    if (onReboot === 'restart') {
      await until('the reboot', () => guest.reboots === 1);
      await guest.vm.pause();
      expect(guest.vm.state).toBe('paused');
      await guest.vm.stop();
    }
    expect((await guest.ended()).report.reason).toBe(reason);
  });

  test('a vCPU whose thread dies ends this VM only', async () => {
    await using other = await Guest.start('control');
    await using guest = await Guest.start('control', { cmdline: 'do=I', cpus: 2 });
    await guest.shows('pio\n');
    const { instance } = guest.vm as unknown as { instance: { vcpus: { workers: Worker[] } } };
    void instance.vcpus.workers[0]!.terminate();
    const { report } = await guest.ended();
    expect(report).toMatchObject({
      reason: 'internal-error',
      status: 125,
      message: 'vcpu 0: its thread has ended',
    });
    await other.shows('ready\n');
    other.send('ep');
    expect((await other.ended()).serial).toContain('echo\n');
  });

  test('stop in every other state, and twice at once', async () => {
    const created = await Guest.create('control');
    await Promise.all([created.vm.stop(), created.vm.stop()]);
    expect((await created.ended()).report.reason).toBe('stopped');

    const paused = await Guest.start('control', { cmdline: 'do=S' });
    await paused.shows('spin\n');
    await paused.vm.pause();
    await paused.vm.stop();
    expect((await paused.ended()).report.reason).toBe('stopped');

    // At once after start, before the worker has run anything.
    const starting = await Guest.start('control', { cpus: 2 });
    await starting.vm.stop();
    expect((await starting.ended()).report.reason).toBe('stopped');
    expect(starting.vm.state).toBe('stopped');
  });

  test('await using stops the VM at the end of the block', async () => {
    let kept: VirtualMachine;
    {
      await using vm = await VirtualMachine.create({
        kernel: buildGuest('control'),
        memory: '16M',
        cmdline: 'do=S',
      });
      kept = vm;
      await vm.start();
    }
    expect(kept.state).toBe('stopped');
    await expect(kept.wait()).resolves.toMatchObject({ reason: 'stopped' });
  });

  test('ten VMs at once; one triple-faults, one panics, the others go on', async () => {
    const guests = await Promise.all(Array.from({ length: 10 }, () => Guest.start('control')));
    try {
      await Promise.all(guests.map((guest) => guest.shows('ready\n')));
      guests[3]!.send('t');
      guests[6]!.send('a');
      expect((await guests[3]!.ended()).report.reason).toBe('triple-fault');
      expect((await guests[6]!.ended()).report.reason).toBe('panic');
      const others = guests.filter((_, i) => i !== 3 && i !== 6);
      for (const guest of others) guest.send('e');
      await Promise.all(others.map((guest) => guest.shows('echo\n')));
      for (const guest of others) guest.send('p');
      const ends = await Promise.all(others.map((guest) => guest.ended()));
      expect(ends.map(({ report }) => report.reason)).toEqual(others.map(() => 'power-off'));
    } finally {
      await Promise.all(guests.map((guest) => guest[Symbol.asyncDispose]()));
    }
  });

  test('a slow reader gets 1 MiB of console output whole, and the guest waits for it', async () => {
    const kernel = buildGuest('control');
    await using vm = await VirtualMachine.create({ kernel, memory: '16M', cmdline: 'do=fp' });
    const expected = Buffer.concat([flood(256), Buffer.from('flooded\n')]);
    const chunks: Buffer[] = [];
    let size = 0;
    await vm.start();
    // Takes 64 KiB, looks away, and so on.
    for (let pause = 0; ; pause++) {
      const chunk = vm.serial.output.read() as Buffer | null;
      if (chunk !== null) {
        chunks.push(chunk);
        size += chunk.length;
        if (size > pause * 65536) await sleep(20);
      } else if (vm.state === 'stopped' && vm.serial.output.readableLength === 0) {
        break;
      } else {
        await sleep(1);
      }
    }
    const got = Buffer.concat(chunks);
    expect(got.length).toBe(expected.length);
    expect(got.equals(expected)).toBe(true);
  });

  test.each([
    { what: 'console', command: 'o' },
    { what: 'debug console', command: 'g' },
  ])('K3: a $what that nobody reads neither grows nor stops the guest', async ({ command }) => {
    const kernel = buildGuest('control');
    await using vm = await VirtualMachine.create({
      kernel,
      memory: '16M',
      cmdline: `do=${command}`,
    });
    await vm.start();
    await sleep(1500);
    const before = reachable();
    await sleep(1500);
    // Buffers that are garbage are freed by another thread, which may have to wait for a processor.
    await until('memory to be what it was', () => reachable() - before < 2 ** 20);
    // It still runs, and what is left can be read: the last of it.
    await vm.pause();
    await vm.resume();
    const stream = command === 'o' ? vm.serial.output : vm.debugConsole;
    const last: Buffer[] = [];
    stream.on('data', (bytes: Buffer) => last.push(bytes));
    await until('output', () => last.length > 0);
    await vm.stop();
    const kept = Buffer.concat(last).length;
    expect(kept).toBeGreaterThan(1000);
    expect(kept).toBeLessThan(2 ** 20);
  });

  test('a guest that resets at once for ever can be stopped', async () => {
    await using guest = await Guest.start('control', { cmdline: 'do=k' });
    await until('five reboots', () => guest.reboots >= 5, 30_000);
    await guest.vm.stop();
    expect((await guest.ended()).report.reason).toBe('stopped');
  });
});
