/** What the host has set of an interface, over reboots: each power-on has registers of its own. */
import type { VirtioDeviceCore } from '../../../src/devices/virtio/index.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { NetFeature } from '../../../src/devices/virtio/net/net-layout.js';
import type { NetLimitOptions } from '../../../src/devices/virtio/net/net-limits.js';
import { NetworkControl } from '../../../src/machine/virtio/network-control.js';
import { NetBench } from '../virtio/net-bench.js';

const FEATURES = [NetFeature.ControlQueue, NetFeature.GuestAnnounce, NetFeature.Status];
const [DOWN, UP, ANNOUNCE] = [0, 1, 2];

/** A VM with one interface. */
class Machine {
  on: NetBench | undefined;
  readonly asked: [number, NetLimitOptions][] = [];
  readonly control = new NetworkControl(
    () => this.on && ({ device: this.on.device } as unknown as VirtioDeviceCore),
    0,
    (slot, limits) => {
      this.asked.push([slot, limits]);
      return Promise.resolve();
    },
  );

  powerOn(): NetBench {
    this.on = new NetBench();
    this.control.onPowerOn();
    return this.on.up(...FEATURES);
  }
}

const status = (bench: NetBench): number => bench.get(R.Config + 6, 2);

test('a link that is down is down after a reboot and after a reset, until the host plugs it in', () => {
  const machine = new Machine();
  expect(status(machine.powerOn())).toBe(UP);
  machine.control.setLink(false);
  const second = machine.powerOn();
  expect(status(second)).toBe(DOWN);
  second.up(...FEATURES);
  expect(status(second)).toBe(DOWN);
  machine.control.setLink(true);
  expect(status(second)).toBe(UP);
  expect(second.acknowledge() & 2).toBe(2);
  expect(status(machine.powerOn())).toBe(UP);
});

test('an announcement is for the driver that runs: the next one announces itself anyway', () => {
  const machine = new Machine();
  const first = machine.powerOn();
  machine.control.announce();
  expect(status(first)).toBe(UP | ANNOUNCE);
  first.up(...FEATURES);
  expect(status(first)).toBe(UP);
  machine.control.announce();
  expect(status(machine.powerOn())).toBe(UP);
  machine.control.setLink(false);
  machine.control.announce();
  expect(status(machine.on!)).toBe(DOWN | ANNOUNCE);
  expect(machine.on!.command([3, 0])).toBe(0);
  expect(status(machine.on!)).toBe(DOWN);
});

test('limits are set again for each machine, and one that makes no sense is not kept', async () => {
  const machine = new Machine();
  machine.powerOn();
  machine.control.onDoorbell();
  expect(machine.asked).toEqual([]);
  const tx = { bytes: { perSecond: 1000, burst: 100 } };
  await machine.control.setRateLimit({ tx });
  const wrong = { rx: { frames: { perSecond: 1, burst: 0.5 } } };
  await expect(machine.control.setRateLimit(wrong)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  machine.powerOn();
  machine.control.onDoorbell();
  expect(machine.asked).toEqual([
    [0, { tx }],
    [0, { tx }],
  ]);
});

test('of a VM that has ended there is nothing to ask', () => {
  const machine = new Machine();
  const says = expect.objectContaining({ code: 'ERR_STATE' }) as Error;
  expect(() => machine.control.setLink(true)).toThrow(says);
  expect(() => machine.control.address).toThrow(says);
});
