import { EscapeFilter } from '../../../src/cli/escape-filter';

/** What reaches the guest and which actions are called, for input in pieces. */
function run(...pieces: string[]): { out: string; actions: string[] } {
  const actions: string[] = [];
  const filter = new EscapeFilter((action) => actions.push(action));
  const out = pieces.map((piece) => filter.filter(Buffer.from(piece, 'latin1')).toString('latin1'));
  return { out: out.join(''), actions };
}

test.each([
  { input: 'plain\r\x03\x1a\x04\xff', out: 'plain\r\x03\x1a\x04\xff', actions: [] },
  { input: '\x01x', out: '', actions: ['quit'] },
  { input: '\x01h', out: '', actions: ['help'] },
  { input: '\x01?', out: '', actions: ['help'] },
  { input: '\x01p', out: '', actions: ['power'] },
  { input: '\x01\x01', out: '\x01', actions: [] },
  { input: '\x01\x01x', out: '\x01x', actions: [] },
  { input: '\x01\x01\x01x', out: '\x01', actions: ['quit'] },
  { input: '\x01z', out: '\x01z', actions: [] },
  { input: '\x01X', out: '\x01X', actions: [] },
  { input: 'a\x01hb\x01pc', out: 'abc', actions: ['help', 'power'] },
  { input: 'a\x01', out: 'a', actions: [] },
  { input: '', out: '', actions: [] },
])('$input', ({ input, out, actions }) => {
  expect(run(input)).toEqual({ out, actions });
  // The same when it is cut anywhere: keys come one by one, or pasted together.
  for (let at = 0; at <= input.length; at++) {
    expect(run(input.slice(0, at), input.slice(at))).toEqual({ out, actions });
  }
  expect(run(...Array.from(input))).toEqual({ out, actions });
});
