/** What carries the agent channel: a port of virtio-console, or a serial port when it has none. */
import type { ConsolePort, PortConsumer } from './console-port.js';

/**
 * The agent speaks first, and on one port. What it says there is for the channel, and the channel's
 * answers go there; bytes from the other ports are dropped.
 */
export class AgentLink {
  private carrier: ConsolePort | undefined;

  /** @param ports those that the agent may take */
  constructor(private readonly ports: readonly ConsolePort[]) {}

  /** Gives the channel what comes from the agent's port. */
  connect(channel: PortConsumer): void {
    for (const port of this.ports) {
      port.divert({
        get accepting() {
          return channel.accepting;
        },
        receive: (bytes) => {
          this.carrier ??= port;
          if (this.carrier === port) channel.receive(bytes);
        },
        pump: () => {
          if (this.carrier === port) channel.pump();
        },
      });
    }
  }

  /** Hands bytes to the agent; returns how many its port took. */
  offer(bytes: Uint8Array): number {
    return this.carrier?.offer(bytes) ?? 0;
  }

  /** The channel accepts bytes again. */
  drain(): void {
    for (const port of this.ports) port.drain();
  }
}
