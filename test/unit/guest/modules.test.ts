import { loadOrder } from '../../../src/guest/modules';

const DEPENDENCIES = `kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/misc/pvpanic/pvpanic-mmio.ko.xz:
`;

describe('loadOrder', () => {
  it('loads what a module needs before it, once', () => {
    const order = loadOrder(['virtio_net', 'virtio'], DEPENDENCIES, '');
    expect(order.map((file) => file.split('/').at(-1))).toEqual([
      'virtio_ring.ko',
      'virtio.ko',
      'failover.ko',
      'net_failover.ko',
      'virtio_net.ko',
    ]);
  });

  it('takes dashes for underscores and leaves out what is built in or unknown', () => {
    expect(loadOrder(['pvpanic_mmio', 'absent'], DEPENDENCIES, '')).toEqual([
      'kernel/drivers/misc/pvpanic/pvpanic-mmio.ko.xz',
    ]);
    const builtin = 'kernel/drivers/virtio/virtio.ko\n';
    expect(loadOrder(['virtio'], DEPENDENCIES, builtin)).toEqual([]);
  });
});
