/** Several backends on one I/O engine: who a completion is for, and whose turn it is when it is full. */
import type { IoCompletion } from '../io/io-engine.js';

/** Ids of one user's operations; tokens of the engine stay below 2^31. */
const IDS = 2 ** 16;
const CHANNELS = 2 ** 15;

/** A user of the engine. */
export interface IoUser {
  /** An operation has ended: bytes, or -errno. */
  completed(id: number, result: number): void;
  /** The engine was full and has room now. */
  room(): void;
}

/** One user's share of the engine's tokens. */
export interface IoChannel {
  /** Token of the engine for an operation of this user; ids are below 65536. */
  token(id: number): number;
  /** The engine has refused an operation: {@link IoUser.room} follows after a completion. */
  wait(): void;
  close(): void;
}

/** Make one for each engine and pass its {@link complete} to it. */
export class IoDispatcher {
  private readonly users: (IoUser | undefined)[] = [];
  private readonly waiting: number[] = [];

  readonly complete: IoCompletion = (token, result) => {
    this.users[Math.floor(token / IDS)]?.completed(token % IDS, result);
    // Users have their turn until one is refused, who then stands at the end of the line.
    const { waiting } = this;
    for (let left = waiting.length; left > 0; left--) {
      const next = waiting.shift()!;
      this.users[next]?.room();
      if (waiting.includes(next)) return;
    }
  };

  /** @throws RangeError when there are 32768 users */
  open(user: IoUser): IoChannel {
    let index = this.users.indexOf(undefined);
    if (index < 0) index = this.users.length;
    if (index >= CHANNELS) throw new RangeError('too many users of an I/O engine');
    this.users[index] = user;
    return {
      token: (id) => index * IDS + id,
      wait: () => {
        if (!this.waiting.includes(index)) this.waiting.push(index);
      },
      close: () => {
        this.users[index] = undefined;
        const at = this.waiting.indexOf(index);
        if (at >= 0) this.waiting.splice(at, 1);
      },
    };
  }
}
