import { FrameParser, FRAME_PAYLOAD_MAX, encodeFrame, HostFrame } from '../../../src/agent/frames';

type Frame = [type: number, payload: string];

function parser(): { frames: Frame[]; parser: FrameParser } {
  const frames: Frame[] = [];
  return {
    frames,
    parser: new FrameParser((type, payload) => frames.push([type, payload.toString('latin1')])),
  };
}

function frame(type: number, payload: string | Buffer): Buffer {
  const body = Buffer.from(payload);
  const header = Buffer.from([type, 0, body.length & 0xff, body.length >> 8]);
  return Buffer.concat([header, body]);
}

const STREAM = Buffer.concat([
  frame(0x10, ''),
  frame(0x11, 'hello'),
  frame(0x12, 'x'),
  frame(0xff, 'of a later agent'),
  frame(0x11, Buffer.alloc(FRAME_PAYLOAD_MAX, 'a')),
  frame(0x13, '\x00\x07'),
]);
const FRAMES: Frame[] = [
  [0x10, ''],
  [0x11, 'hello'],
  [0x12, 'x'],
  [0xff, 'of a later agent'],
  [0x11, 'a'.repeat(FRAME_PAYLOAD_MAX)],
  [0x13, '\x00\x07'],
];

test('cut into two at every byte', () => {
  for (let at = 0; at <= STREAM.length; at++) {
    const { frames, parser: p } = parser();
    p.push(STREAM.subarray(0, at));
    p.push(STREAM.subarray(at));
    // Comparing 4000 deep objects is slow; the text is as good.
    if (JSON.stringify(frames) !== JSON.stringify(FRAMES))
      throw new Error(`wrong when cut at ${at}`);
    expect(p.broken).toBe(false);
  }
});

test.each([1, 2, 3, 5, 7, 4095, 4096, 4097])('pieces of %d bytes', (size) => {
  const { frames, parser: p } = parser();
  for (let at = 0; at < STREAM.length; at += size) p.push(STREAM.subarray(at, at + size));
  expect(frames).toEqual(FRAMES);
});

test('a payload is the receiver’s to keep', () => {
  const kept: Buffer[] = [];
  const p = new FrameParser((_type, payload) => kept.push(payload));
  const bytes = frame(0x11, 'keep');
  p.push(bytes);
  bytes.fill(0);
  p.push(frame(0x11, 'more'));
  expect(kept.map(String)).toEqual(['keep', 'more']);
});

test.each([
  { what: 'a length above the limit', bytes: [0x11, 0, 0x01, 0x10] },
  { what: 'the greatest length', bytes: [0x11, 0, 0xff, 0xff] },
  { what: 'a second byte that is not zero', bytes: [0x11, 1, 0, 0] },
])('$what ends the stream for good', ({ bytes }) => {
  const { frames, parser: p } = parser();
  p.push(Buffer.concat([frame(0x11, 'before'), Buffer.from(bytes), frame(0x11, 'after')]));
  p.push(frame(0x11, 'later'));
  expect(p.broken).toBe(true);
  expect(frames).toEqual([[0x11, 'before']]);
});

test('encoded frames', () => {
  expect(encodeFrame(HostFrame.Shutdown)).toEqual(Buffer.from([4, 0, 0, 0]));
  const payload = Buffer.alloc(300, 'x');
  expect(encodeFrame(HostFrame.Stdin, payload)).toEqual(frame(1, payload));
});
