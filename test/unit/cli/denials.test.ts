import { EventEmitter } from 'node:events';
import type { NetEvent } from '../../../src/net/events.js';
import { describeDenial, reportDenials } from '../../../src/cli/denials.js';

const FLOW = {
  type: 'flow',
  protocol: 'tcp',
  address: '192.0.2.1',
  port: 443,
  names: ['example.org'],
  reason: 'rule',
} as const;

describe('what is said about denials', () => {
  test.each([
    [{ ...FLOW, verdict: 'deny' }, 'denied tcp to 192.0.2.1:443 (example.org)'],
    [{ ...FLOW, verdict: 'deny', address: 'fd00::1', names: [] }, 'denied tcp to [fd00::1]:443'],
    [
      { ...FLOW, verdict: 'deny', protocol: 'icmp', port: 0, names: [] },
      'denied icmp to 192.0.2.1',
    ],
    [
      { type: 'lookup', name: 'a.example', recordType: 'A', verdict: 'deny', reason: 'default' },
      'denied the look-up of a.example',
    ],
    [{ ...FLOW, verdict: 'allow' }, undefined],
    [{ type: 'omitted', count: 3 }, undefined],
  ] satisfies [NetEvent, string | undefined][])('%j', (event, line) => {
    expect(describeDenial(event)).toBe(line);
  });

  test('is said once for each, and not without end', () => {
    const vm = new EventEmitter();
    const lines: string[] = [];
    reportDenials(vm, (line) => lines.push(line));
    for (let round = 0; round < 2; round++) {
      for (let port = 1; port <= 200; port++)
        vm.emit('network', { ...FLOW, verdict: 'deny', port });
    }
    expect(lines).toHaveLength(65);
    expect(lines[0]).toBe('vexit: network: denied tcp to 192.0.2.1:1 (example.org)');
    expect(lines.at(-1)).toBe('vexit: network: more was denied');
  });
});
