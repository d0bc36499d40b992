/** A process that joins a LAN and leaves it, again and again, and looks that it is a member in between. */
import { setTimeout as sleep } from 'node:timers/promises';
import { joinLan, type Membership } from '../../src/net/lan/join.js';
import { readLease } from '../../src/net/lan/leases.js';

const [lan, name, rounds] = process.argv.slice(2);

function isMember({ place }: Membership): boolean {
  return readLease(place.directory, place.host)?.name === name;
}

async function main(): Promise<void> {
  for (let round = 0; round < Number(rounds); round++) {
    const membership = await joinLan({ kind: 'lan', lan: lan! }, name);
    const before = isMember(membership);
    await sleep(Math.random() * 3);
    if (!before || !isMember(membership)) throw new Error(`round ${round}: not a member`);
    membership.leave();
  }
}

void main();
