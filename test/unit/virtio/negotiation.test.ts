/** Device status and feature negotiation, through the transport. */
import { Feature, Status } from '../../../src/devices/virtio/constants.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { ALL_STEPS, MmioBench, RING_BITS } from './mmio-bench.js';
import { EchoDevice } from './test-device.js';

const { Acknowledge, Driver, FeaturesOk, DriverOk, NeedsReset, Failed } = Status;
const ROOM = { address: 0x9000, length: 128, writable: true };

const fresh = (): MmioBench<EchoDevice> => new MmioBench(new EchoDevice());

describe('status', () => {
  test('the sequence of 3.1.1', () => {
    const bench = fresh();
    expect(bench.status).toBe(0);
    expect(bench.negotiate()).toBe(true);
    bench.set(R.Status, ALL_STEPS);
    expect(bench.status).toBe(ALL_STEPS);
    expect(bench.device.events).toContain('driverOk');
  });

  test.each([
    [DriverOk, 0],
    [Driver, 0],
    [FeaturesOk, 0],
    [Acknowledge | FeaturesOk, Acknowledge],
    [Acknowledge | Driver | DriverOk, Acknowledge | Driver],
    [0xffff_ff00, 0],
    [NeedsReset, 0],
    [Acknowledge | 16 | 32, Acknowledge],
  ])('A13: from 0, writing 0x%s gives 0x%s', (value, expected) => {
    const bench = fresh();
    bench.set(R.Status, value);
    expect(bench.status).toBe(expected);
    expect(bench.device.events).not.toContain('driverOk');
  });

  test('A13: bits are cleared by a reset only', () => {
    const bench = fresh().start();
    for (const value of [1, 2, 4, 8, 16]) bench.set(R.Status, value);
    expect(bench.status).toBe(ALL_STEPS);
    expect(bench.device.events.filter((event) => event === 'driverOk')).toHaveLength(1);
  });

  test('A13: after FAILED nothing but a reset helps', () => {
    const bench = fresh();
    bench.negotiate();
    bench.set(R.Status, Failed);
    bench.set(R.Status, ALL_STEPS);
    expect(bench.status).toBe(Failed | Acknowledge | Driver | FeaturesOk);
    bench.set(R.Status, 0);
    expect(bench.status).toBe(0);
    const running = fresh().start();
    running.set(R.Status, Failed);
    running.rings[0]!.send(ROOM);
    running.notify(0);
    expect(running.rings[0]!.take()).toEqual([]);
  });
});

describe('features', () => {
  test('G-5, G-9: offered are the device, VERSION_1 and what rings can do', () => {
    const bench = fresh();
    const offered = [0, 3, 28, 29, 32, 40, 50];
    expect(bench.offered()).toEqual(offered);
    const without = new MmioBench(new EchoDevice(), { withoutFeatures: [Feature.EventIndex] });
    expect(without.offered()).toEqual(offered.filter((bit) => bit !== 29));
  });

  test.each([
    ['ACCESS_PLATFORM', 33],
    ['RING_PACKED', 34],
    ['G-10: IN_ORDER', 35],
    ['ORDER_PLATFORM', 36],
    ['G-12: SR_IOV', 37],
    ['NOTIFICATION_DATA', 38],
    ['NOTIF_CONFIG_DATA', 39],
    ['ADMIN_VQ', 41],
    ['DEVICE SUSPEND', 43],
  ])('G-5: %s is not there, not offered and not accepted', (_, bit) => {
    expect(fresh().offered()).not.toContain(bit);
    expect(fresh().negotiate([32, bit])).toBe(false);
  });

  test('G-4: any valid subset is accepted', () => {
    for (const features of [[32], [32, 0], [32, 0, 3, 28, 29, 40, 50], [32, 29]]) {
      expect(fresh().negotiate(features)).toBe(true);
    }
  });

  test.each([
    ['without VERSION_1', [0]],
    ['none at all', []],
    ['one that is not offered', [32, 1]],
    ['one of the next word that is not offered', [32, 33]],
    ['one above 64 that is not offered', [32, 64]],
    ['one without its prerequisite', [32, 3]],
    ['a combination the device refuses', [32, 50]],
  ])('A14: %s is refused', (_, features) => {
    const bench = fresh();
    expect(bench.negotiate(features)).toBe(false);
    bench.set(R.Status, ALL_STEPS);
    expect(bench.status & DriverOk).toBe(0);
  });

  test('A14: bits above 127 are refused, whatever is written later', () => {
    for (const select of [4, 5, 0xffff_ffff]) {
      const bench = fresh();
      bench.set(R.Status, Acknowledge | Driver);
      bench.set(R.DriverFeaturesSel, select);
      bench.set(R.DriverFeatures, 1);
      bench.accept(RING_BITS);
      bench.set(R.Status, ALL_STEPS);
      expect(bench.status).toBe(Acknowledge | Driver);
    }
  });

  test('A14: nothing changes after FEATURES_OK', () => {
    const bench = fresh();
    bench.negotiate();
    bench.accept([0, 3, 32]);
    expect(bench.device.context.hasFeature(0)).toBe(false);
    expect(bench.device.context.hasFeature(Feature.EventIndex)).toBe(true);
  });

  test('G-6: the same features are accepted again after a reset', () => {
    const bench = fresh().start([...RING_BITS, 0, 3]);
    for (let i = 0; i < 3; i++) expect(bench.negotiate([...RING_BITS, 0, 3])).toBe(true);
  });

  test('G-3: a device that offers a feature without its prerequisite is a defect', () => {
    class Broken extends EchoDevice {
      override readonly features = [3];
    }
    expect(() => new MmioBench(new Broken())).toThrow(RangeError);
  });

  test('G-5: a device cannot offer what belongs to rings and transports', () => {
    for (const bit of [24, 33, 34, 40, 43, 44, 49, 128]) {
      class Broken extends EchoDevice {
        override readonly features = [bit];
      }
      expect(() => new MmioBench(new Broken())).toThrow(RangeError);
    }
  });

  test('G-8: configuration can be read before negotiation', () => {
    const bench = fresh();
    bench.device.context.state.set([1, 2, 3, 4]);
    expect(bench.get(R.Config)).toBe(0x0403_0201);
  });
});
