/** The one place that says whether a flow or a look-up may be: rules, then the user's callback. */
import type { EventSink, NetProtocol, NetRequest, Verdict } from '../events.js';
import type { Clock } from '../timers.js';
import type { IpAddress } from '../wire/address.js';
import type { NameCache } from './name-cache.js';
import type { Decision, Rules } from './rules.js';

/** Decides on what the rules let through; runs in any thread. To throw or reject is to deny. */
export type Decide = (request: NetRequest) => Verdict | Promise<Verdict>;

/** Questions that wait for an answer; more are denied at once. */
const MOST_QUESTIONS = 1024;
const ANSWER_MS = 30_000;

export class Gate {
  private questions = 0;

  constructor(
    private readonly rules: Rules,
    readonly names: NameCache,
    private readonly decide: Decide | undefined,
    private readonly events: EventSink,
    private readonly clock: Clock,
  ) {}

  /** `answer` is called once: before this returns when there is no callback to ask. */
  flow(
    protocol: NetProtocol,
    address: IpAddress,
    port: number,
    answer: (verdict: Verdict) => void,
  ): void {
    const text = address.toString();
    const names = this.names.names(text);
    const request = { type: 'flow' as const, protocol, address: text, port, names };
    this.ask(request, this.rules.flow(protocol, address, port, names), answer);
  }

  lookup(name: string, recordType: string, answer: (verdict: Verdict) => void): void {
    const request = { type: 'lookup' as const, name, recordType };
    this.ask(request, this.rules.lookup(name), answer);
  }

  /** A flow that is refused because the guest may not reach the host. */
  hostDenied(protocol: NetProtocol, address: IpAddress, port: number): void {
    this.events.emit({
      type: 'flow',
      protocol,
      address: address.toString(),
      port,
      names: [],
      verdict: 'deny',
      reason: 'host',
    });
  }

  private ask(request: NetRequest, decision: Decision, answer: (verdict: Verdict) => void): void {
    const { decide } = this;
    if (decide === undefined || decision.verdict === 'deny') {
      this.settle(request, decision, answer);
    } else if (this.questions >= MOST_QUESTIONS) {
      this.settle(request, { verdict: 'deny', reason: 'callback' }, answer);
    } else {
      this.question(request, decide, answer);
    }
  }

  private question(request: NetRequest, decide: Decide, answer: (verdict: Verdict) => void): void {
    this.questions++;
    let open = true;
    const settle = (verdict: unknown): void => {
      if (!open) return;
      open = false;
      this.questions--;
      this.clock.cancel(timer);
      const checked = verdict === 'allow' ? 'allow' : 'deny';
      this.settle(request, { verdict: checked, reason: 'callback' }, answer);
    };
    const timer = this.clock.after(ANSWER_MS, () => settle('deny'));
    const asked = async (): Promise<Verdict> => decide(request);
    asked().then(settle, () => settle('deny'));
  }

  private settle(
    request: NetRequest,
    decision: Decision,
    answer: (verdict: Verdict) => void,
  ): void {
    this.events.emit({ ...request, ...decision });
    answer(decision.verdict);
  }
}
