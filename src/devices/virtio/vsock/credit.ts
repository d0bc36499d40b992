/**
 * Credit-based flow control of one connection (virtio 1.2, 5.10.6.3): each side says how much room
 * it has in all and how much has left that room, counted modulo 2^32.
 */

/** Bytes of a window, modulo 2^32. */
function distance(from: number, to: number): number {
  return (to - from) >>> 0;
}

/** What the device may send to the guest. */
export class SendCredit {
  private sent = 0;
  private allocation = 0;
  private forwarded = 0;

  /** Bytes that the guest has room for. */
  get available(): number {
    return Math.max(0, this.allocation - distance(this.forwarded, this.sent));
  }

  /**
   * The guest has said what room it has. Word that is older than what is known is passed over:
   * two processors of a guest may send in another order than they have looked.
   * @returns false when the guest claims to have forwarded more than it was sent
   */
  update(allocation: number, forwarded: number): boolean {
    const advance = distance(this.forwarded, forwarded);
    if (advance > distance(this.forwarded, this.sent)) return advance >= 2 ** 31;
    this.allocation = allocation;
    this.forwarded = forwarded;
    return true;
  }

  take(bytes: number): void {
    this.sent = (this.sent + bytes) >>> 0;
  }
}

/** What the guest may send to the device. */
export class ReceiveCredit {
  private received = 0;
  private told = 0;
  /** Bytes that have left the device's memory. */
  forwarded = 0;

  /** @param allocation bytes that the device holds for the connection */
  constructor(readonly allocation: number) {}

  /** Takes so many bytes in. False when the guest had no credit for them. */
  receive(bytes: number): boolean {
    if (!(bytes <= this.allocation - distance(this.forwarded, this.received))) return false;
    this.received = (this.received + bytes) >>> 0;
    return true;
  }

  forward(bytes: number): void {
    this.forwarded = (this.forwarded + bytes) >>> 0;
  }

  /** The guest is told where things are, with every packet. */
  tell(): void {
    this.told = this.forwarded;
  }

  /** True when the guest believes that half of the room is taken, and it is wrong. */
  get owesUpdate(): boolean {
    if (this.told === this.forwarded) return false;
    return distance(this.told, this.received) > this.allocation / 2;
  }
}
