/** What is wrong with the network interfaces of a VM, before any of them is opened. */
import { parseMac } from '../devices/virtio/net/net-options.js';
import { checkLanOptions } from '../net/lan/lan-options.js';
import { checkNetOptions } from '../net/options.js';
import { checkTapOptions } from '../net/tap/tap-option.js';
import { VexitError } from '../util/errors.js';
import type { NetSettings } from './device-options.js';

/**
 * Checks each interface, and that no two have the same address or tap.
 * @throws VexitError ERR_CONFIG for the first that makes no sense
 */
export function checkInterfaces(interfaces: readonly NetSettings[]): void {
  const addresses = new Set<string>();
  const taps = new Set<string>();
  for (const { mac, ...settings } of interfaces) {
    if (settings.kind === 'lan') {
      checkLanOptions(settings);
    } else if (settings.kind === 'tap') {
      checkTapOptions(settings);
      once(taps, settings.name, `tap ${settings.name} is given to two interfaces`);
    } else {
      checkNetOptions({ ...settings, kind: 'user' });
    }
    if (mac === undefined) continue;
    if (parseMac(mac) === undefined) {
      throw new VexitError(
        'ERR_CONFIG',
        `${mac} is not a unicast MAC address`,
        'write it as 52:54:00:12:34:56',
      );
    }
    once(addresses, mac.toLowerCase(), `two interfaces have the MAC address ${mac}`);
  }
}

function once(seen: Set<string>, key: string, message: string): void {
  if (seen.has(key)) throw new VexitError('ERR_CONFIG', message, 'give each its own');
  seen.add(key);
}
