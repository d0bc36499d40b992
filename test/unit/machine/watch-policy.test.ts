import { WATCH_MS, WatchPolicy } from '../../../src/machine/virtio/watch-policy.js';

/** Kicks that each come a moment after work; returns how many of them led to a watch. */
function kicks(policy: WatchPolicy, count: number, outcome: (watch: number) => 'won' | 'lost') {
  let watches = 0;
  for (let i = 0; i < count; i++) {
    policy.worked(i);
    if (policy.kicked(i + WATCH_MS / 2)) policy[outcome(watches++)]();
  }
  return watches;
}

describe('watching queues', () => {
  test('is tried for a kick that comes soon after work, and for no other', () => {
    const policy = new WatchPolicy();
    expect(policy.kicked(5)).toBe(false);
    policy.worked(10);
    expect(policy.kicked(10 + WATCH_MS / 2)).toBe(true);
    expect(policy.kicked(10 + WATCH_MS)).toBe(false);
  });

  test('goes on while it pays, a few losses notwithstanding', () => {
    const policy = new WatchPolicy();
    expect(kicks(policy, 1000, (watch) => (watch % 20 === 19 ? 'lost' : 'won'))).toBe(1000);
  });

  test('becomes rare when it is always lost, and never ends', () => {
    const policy = new WatchPolicy();
    const first = kicks(policy, 10_000, () => 'lost');
    expect(first).toBeLessThan(30);
    expect(kicks(policy, 10_000, () => 'lost')).toBeGreaterThan(5);
  });

  test('that is lost more often than it pays is rare as well', () => {
    const policy = new WatchPolicy();
    const watches = kicks(policy, 10_000, (watch) => (watch % 2 === 0 ? 'won' : 'lost'));
    expect(watches).toBeLessThan(100);
  });

  test('comes back when it pays again', () => {
    const policy = new WatchPolicy();
    kicks(policy, 10_000, () => 'lost');
    kicks(policy, 3000, () => 'won');
    expect(kicks(policy, 100, () => 'won')).toBe(100);
  });
});
