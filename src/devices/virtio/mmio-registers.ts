/** Names of the virtio-mmio registers (virtio 1.2, 4.2.2, table 4.1). */

export enum MmioRegister {
  MagicValue = 0x000,
  Version = 0x004,
  DeviceId = 0x008,
  VendorId = 0x00c,
  DeviceFeatures = 0x010,
  DeviceFeaturesSel = 0x014,
  DriverFeatures = 0x020,
  DriverFeaturesSel = 0x024,
  QueueSel = 0x030,
  QueueSizeMax = 0x034,
  QueueSize = 0x038,
  QueueReady = 0x044,
  QueueNotify = 0x050,
  InterruptStatus = 0x060,
  InterruptAck = 0x064,
  Status = 0x070,
  QueueDescLow = 0x080,
  QueueDescHigh = 0x084,
  QueueDriverLow = 0x090,
  QueueDriverHigh = 0x094,
  QueueDeviceLow = 0x0a0,
  QueueDeviceHigh = 0x0a4,
  ShmSel = 0x0ac,
  ShmLenLow = 0x0b0,
  ShmLenHigh = 0x0b4,
  ShmBaseLow = 0x0b8,
  ShmBaseHigh = 0x0bc,
  QueueReset = 0x0c0,
  ConfigGeneration = 0x0fc,
  /** Start of the device's configuration space. */
  Config = 0x100,
}

export const MAGIC = 0x7472_6976;
export const VERSION = 2;
/** "VXIT". Drivers do not look at it. */
export const VENDOR_ID = 0x5449_5856;

/** Bits of InterruptStatus. */
export enum MmioInterrupt {
  UsedBuffer = 1,
  ConfigChange = 2,
}
