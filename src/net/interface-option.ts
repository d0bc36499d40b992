/** The value of `--net`: which network an interface is on. */
import { VexitError } from '../util/errors.js';
import { checkLanOptions, parseStation, type LanNetOptions } from './lan/lan-options.js';
import { parseNetOption, type UserNetOptions } from './options.js';
import { parseTapOption, type TapNetOptions } from './tap/tap-option.js';

/** A LAN interface as it is written: the address of the card may be part of it. */
export type LanInterface = LanNetOptions & { readonly mac?: string };

/** A TAP interface as it is written. */
export type TapInterface = TapNetOptions & { readonly mac?: string };

function fail(message: string, hint: string): never {
  throw new VexitError('ERR_CONFIG', message, hint);
}

function parseLan(text: string): LanInterface {
  const settings = new Map<string, string>();
  for (const part of text.split(',')) {
    const [, key, value] = /^([^=]*)=(.*)$/.exec(part) ?? [undefined, part, ''];
    if (!['lan', 'mac', 'mtu'].includes(key)) {
      fail(`unknown LAN setting "${key}"`, 'write lan=NAME, mac= and mtu=');
    }
    if (settings.has(key)) fail(`network setting ${key} is given twice`, 'leave one out');
    settings.set(key, value);
  }
  const [lan, mac, mtu] = [settings.get('lan') ?? '', settings.get('mac'), settings.get('mtu')];
  if (mtu !== undefined && !/^\d{1,6}$/.test(mtu)) {
    fail(`mtu=${mtu} is not a number`, 'write mtu= and a number');
  }
  if (mac !== undefined && parseStation(mac) === undefined) {
    fail(`${mac} is not a unicast MAC address`, 'write it as 52:54:00:12:34:56');
  }
  const options: LanInterface = {
    kind: 'lan',
    lan,
    ...(mac === undefined ? {} : { mac }),
    ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
  };
  checkLanOptions(options);
  return options;
}

function parseTap(text: string): TapInterface {
  const settings = new Map<string, string>();
  for (const part of text.split(',')) {
    const [, key, value] = /^([^=]*)=(.*)$/.exec(part) ?? [undefined, part, ''];
    if (settings.has(key)) fail(`network setting ${key} is given twice`, 'leave one out');
    settings.set(key, value);
  }
  const [name, mac] = [settings.get('tap') ?? '', settings.get('mac')];
  settings.delete('tap');
  settings.delete('mac');
  const options = parseTapOption(name, [...settings]);
  return mac === undefined ? options : { ...options, mac };
}

/**
 * Parses the value of `--net`: `user`, `lan=NAME` or `tap=NAME`, with settings `KEY=VALUE` behind commas.
 * @throws VexitError ERR_CONFIG when it cannot be understood
 */
export function parseInterface(text: string): UserNetOptions | LanInterface | TapInterface {
  if (/^tap(=|,|$)/.test(text)) return parseTap(text);
  return /^lan(=|,|$)/.test(text) ? parseLan(text) : parseNetOption(text);
}
