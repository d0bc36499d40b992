/** The host's side of virtio-console: streams for its ports. */
import {
  openConsolePorts,
  type ConsolePortHost,
} from '../../devices/virtio/console/console-host.js';
import type { ConsoleShape } from '../../devices/virtio/console/console-options.js';
import { ConsolePort } from '../console-port.js';
import type { HostSide, PresentCore } from './host-side.js';

/** The ports of a VM's virtio console. */
export class ConsoleControl implements HostSide {
  /** Streams of the ports, by number. */
  readonly ports: readonly ConsolePort[];
  private hosts: readonly ConsolePortHost[] = [];
  private size: { readonly cols: number; readonly rows: number } | undefined;

  constructor(
    private readonly core: PresentCore,
    private readonly shape: ConsoleShape,
  ) {
    this.ports = shape.ports.map((_, i) => new ConsolePort(() => this.hosts[i]));
  }

  /** The port that is the guest's terminal, hvc0. */
  get terminal(): ConsolePort | undefined {
    return this.shape.ports[0]?.isConsole === true ? this.ports[0] : undefined;
  }

  /** The port with a name. */
  port(name: string): ConsolePort | undefined {
    return this.ports[this.shape.ports.findIndex((port) => port.name === name)];
  }

  /** The terminal that shows the console has another size, in characters. */
  resize(cols: number, rows: number): void {
    this.size = { cols, rows };
    this.hosts[0]?.resize(cols, rows);
  }

  onPowerOn(): void {
    const core = this.core();
    if (core === undefined) return;
    this.hosts = openConsolePorts(core, this.shape);
    for (const host of this.hosts) host.open();
    if (this.size !== undefined) this.hosts[0]?.resize(this.size.cols, this.size.rows);
    for (const port of this.ports) port.onSpace();
  }

  onDoorbell(): void {
    for (const port of this.ports) {
      port.drain();
      port.onSpace();
    }
  }

  onPaused(): void {
    for (const port of this.ports) port.hasten();
  }

  onStopped(): void {
    for (const port of this.ports) port.flush();
    this.hosts = [];
  }

  end(): void {
    for (const port of this.ports) port.end();
  }
}
