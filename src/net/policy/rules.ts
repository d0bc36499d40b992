/** Rules that decide on flows and look-ups. */
import type { NetProtocol, Reason, Verdict } from '../events.js';
import { Cidr, type IpAddress } from '../wire/address.js';
import type { NetTarget } from './target.js';

/** A verdict, and where it comes from. */
export interface Decision {
  readonly verdict: Verdict;
  readonly reason: Reason;
}

interface Rule {
  readonly target: NetTarget;
  readonly cidr: Cidr | undefined;
}

/** True when `name` is what a rule's name says. */
export function matchesName(pattern: string, name: string): boolean {
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) : name === pattern;
}

/** Deny goes before allow; once there is a rule that allows, what none allows is denied. */
export class Rules {
  private readonly allow: readonly Rule[];
  private readonly deny: readonly Rule[];

  constructor(allow: readonly NetTarget[], deny: readonly NetTarget[]) {
    const compile = (target: NetTarget): Rule => ({
      target,
      cidr: target.cidr === undefined ? undefined : Cidr.of(target.cidr),
    });
    this.allow = allow.map(compile);
    this.deny = deny.map(compile);
  }

  /** @param names what the address is called, as far as is known */
  flow(
    protocol: NetProtocol,
    address: IpAddress,
    port: number,
    names: readonly string[],
  ): Decision {
    const matches = ({ target, cidr }: Rule): boolean =>
      (target.protocol === undefined || target.protocol === protocol) &&
      (target.ports === undefined || (port >= target.ports[0] && port <= target.ports[1])) &&
      (cidr === undefined || cidr.contains(address)) &&
      (target.name === undefined || names.some((name) => matchesName(target.name!, name)));
    return this.decide(matches, matches);
  }

  /**
   * A name may be looked up when a rule that allows is about it, or about everything. Only a rule for
   * all ports and protocols of a name denies its look-up.
   */
  lookup(name: string): Decision {
    const named = ({ target }: Rule): boolean =>
      target.cidr === undefined && (target.name === undefined || matchesName(target.name, name));
    const denied = (rule: Rule): boolean =>
      named(rule) && rule.target.ports === undefined && rule.target.protocol === undefined;
    return this.decide(denied, named);
  }

  private decide(denies: (rule: Rule) => boolean, allows: (rule: Rule) => boolean): Decision {
    if (this.deny.some(denies)) return { verdict: 'deny', reason: 'rule' };
    if (this.allow.length === 0) return { verdict: 'allow', reason: 'default' };
    if (this.allow.some(allows)) return { verdict: 'allow', reason: 'rule' };
    return { verdict: 'deny', reason: 'default' };
  }
}
