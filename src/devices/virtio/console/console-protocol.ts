/** Names of the console device (virtio 1.2, 5.3), and which queue is whose. */

/** Feature bits (5.3.3). */
export enum ConsoleFeature {
  Size = 0,
  Multiport = 1,
  EmergencyWrite = 2,
}

/** `struct virtio_console_config`. */
export const CONFIG_BYTES = 12;
/** Offsets in it (5.3.4). */
export enum ConfigField {
  Cols = 0,
  Rows = 2,
  MaxPorts = 4,
  EmergencyWrite = 8,
}

/** Values of `event` in `struct virtio_console_control` (5.3.6.2). */
export enum ControlEvent {
  DeviceReady = 0,
  DeviceAdd = 1,
  DeviceRemove = 2,
  PortReady = 3,
  ConsolePort = 4,
  Resize = 5,
  PortOpen = 6,
  PortName = 7,
}

/** `struct virtio_console_control`: id, event, value. */
export const CONTROL_BYTES = 8;
/** `struct virtio_console_resize`, which follows it: columns, then rows. */
export const RESIZE_BYTES = 4;

/** Queues 2 and 3 are the control queues (5.3.2). */
export const CONTROL_RECEIVE = 2;
export const CONTROL_TRANSMIT = 3;

/** The queue with a port's input; its output is in the next one. */
export function receiveQueue(port: number): number {
  return port === 0 ? 0 : 2 * port + 2;
}

/** The queue with a port's output. */
export function transmitQueue(port: number): number {
  return receiveQueue(port) + 1;
}

/** The port of a queue that is not a control queue. */
export function portOfQueue(queue: number): number {
  return queue < CONTROL_RECEIVE ? 0 : Math.floor(queue / 2) - 1;
}
