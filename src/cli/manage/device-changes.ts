/** Limits and sizes of devices as `vexit update` takes them: "0:bps=10M,iops=100", "0:2G", "0:none". */
import { parseDiskOption } from '../../block/disk-option.js';
import type { DiskUpdate, NetworkUpdate } from '../../manage/device-updates.js';
import { VexitError } from '../../util/errors.js';
import { parseSize } from '../../util/size.js';

function wrong(option: string, text: string, hint: string): VexitError {
  return new VexitError('ERR_CONFIG', `--${option} ${text} is not possible`, hint);
}

/** "N:REST" */
function numbered(option: string, text: string, example: string): { index: number; rest: string } {
  const match = /^(\d{1,3}):(.+)$/.exec(text);
  if (match === null) throw wrong(option, text, `write it as ${example}`);
  return { index: Number(match[1]), rest: match[2]! };
}

const DISK_LIMITS = ['bps', 'bps-burst', 'iops', 'iops-burst'];

/** @throws VexitError ERR_CONFIG */
export function parseDiskLimit(text: string): DiskUpdate {
  const example = '0:bps=10M,iops=100 or 0:none';
  const { index, rest } = numbered('disk-limit', text, example);
  if (rest === 'none') return { index, limits: {} };
  const keys = rest.split(',').map((setting) => setting.split('=')[0]!);
  if (!keys.every((key) => DISK_LIMITS.includes(key))) {
    throw wrong('disk-limit', text, `write it as ${example}`);
  }
  const { bytesPerSecond, bytesBurst, operationsPerSecond, operationsBurst } = parseDiskOption(
    `disk ${index},${rest}`,
  );
  const limits = { bytesPerSecond, bytesBurst, operationsPerSecond, operationsBurst };
  const given = Object.entries(limits).filter(([, value]) => value !== undefined);
  return { index, limits: Object.fromEntries(given) };
}

/** @throws VexitError ERR_CONFIG */
export function parseDiskSize(text: string): DiskUpdate {
  const { index, rest } = numbered('disk-size', text, '0:2G');
  const size = parseSize(rest);
  if (size === undefined) throw wrong('disk-size', text, 'write it as 0:2G');
  return { index, size };
}

/** Frames of the usual MTU, whole; the largest that a device sends at once passes a full bucket. */
const LEAST_BURST = 1514;

/** @throws VexitError ERR_CONFIG */
export function parseNetLimit(text: string): NetworkUpdate {
  const example = '0:tx=10M,rx=10M,tx-frames=1000 or 0:none';
  const { index, rest } = numbered('net-limit', text, example);
  if (rest === 'none') return { index, limits: {} };
  const ways: Record<string, Record<string, { perSecond: number; burst: number }>> = {};
  for (const setting of rest.split(',')) {
    const match = /^(tx|rx)(-frames)?=(.+)$/.exec(setting);
    const perSecond = parseSize(match?.[3] ?? '');
    if (match === null || perSecond === undefined || perSecond === 0) {
      throw wrong('net-limit', text, `write it as ${example}`);
    }
    const least = match[2] === undefined ? LEAST_BURST : 1;
    const burst = Math.max(Math.round(perSecond / 10), least);
    (ways[match[1]!] ??= {})[match[2] === undefined ? 'bytes' : 'frames'] = { perSecond, burst };
  }
  return { index, limits: ways };
}
