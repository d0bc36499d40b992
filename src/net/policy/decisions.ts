/**
 * The user's callback across threads: the network runs in an I/O worker, the callback in the main
 * thread. One message channel for each network.
 */
import type { MessagePort } from 'node:worker_threads';
import type { NetRequest, Verdict } from '../events.js';
import type { Decide } from './gate.js';

interface Question {
  readonly id: number;
  readonly request: NetRequest;
}

interface Answer {
  readonly id: number;
  readonly verdict: Verdict;
}

/** The worker's end: a callback that asks at the other end of the port. */
export function decideOverPort(port: MessagePort): Decide {
  const waiting = new Map<number, (verdict: Verdict) => void>();
  let last = 0;
  port.on('message', ({ id, verdict }: Answer) => {
    waiting.get(id)?.(verdict);
    waiting.delete(id);
  });
  port.on('close', () => {
    for (const settle of waiting.values()) settle('deny');
    waiting.clear();
  });
  port.unref();
  return (request) =>
    new Promise<Verdict>((resolve) => {
      const id = ++last;
      waiting.set(id, resolve);
      port.postMessage({ id, request } satisfies Question);
    });
}

/** The main thread's end: answers with what the user's callback says; an exception denies. */
export function serveDecisions(port: MessagePort, decide: Decide): void {
  port.on('message', ({ id, request }: Question) => {
    const answer = (verdict: Verdict): void => {
      port.postMessage({ id, verdict } satisfies Answer);
    };
    const asked = async (): Promise<Verdict> => decide(request);
    asked().then(answer, () => answer('deny'));
  });
  port.unref();
}
