/** A member of a LAN in a process of its own, told what to do by its parent. */
import { Member, type Tally } from '../unit/net/lan/member.js';

export type Command =
  | { readonly type: 'send'; readonly to: string; readonly count: number; readonly size: number }
  | { readonly type: 'report' };

export interface Report {
  readonly host: number;
  readonly mac: string;
  readonly members: number;
  readonly dropped: number;
  readonly tallies: Record<string, Tally>;
}

/** How long it waits for others, where that is what the test is about. */
const [lan, name, patienceMs] = process.argv.slice(2);

async function main(): Promise<void> {
  const ms = Number(patienceMs);
  const patience = ms === 0 ? {} : { patience: { guestMs: ms, memberMs: ms } };
  const member = await Member.join(lan!, name!, { keeps: false, ...patience });
  const report = (): Report => ({
    host: member.host,
    mac: member.mac.toString('hex'),
    members: member.network.statistics.members,
    dropped: member.network.statistics.droppedToMembers,
    tallies: Object.fromEntries(member.tallies),
  });
  process.on('message', (command: Command) => {
    if (command.type === 'report') process.send!(report());
    else {
      void member
        .send(Buffer.from(command.to, 'hex'), command.count, command.size)
        .then(() => process.send!(report()));
    }
  });
  process.on('disconnect', () => process.exit());
  process.send!(report());
}

void main();
