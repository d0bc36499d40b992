/** `networks` of a VM: which of the project's it is on, and how. */
import { VexitError } from '../../util/errors.js';
import { parseStation } from '../../net/lan/lan-options.js';
import { checkNetworkName, NETWORK_NAME } from './names.js';
import { field, mapping, object } from './object-readers.js';
import { byKind, list, located, mapped, parsed, type Located, type Reader } from './readers.js';

/** One network of a VM. */
export interface Membership {
  readonly network: string;
  readonly mac?: string;
}

const name = parsed(checkNetworkName, 'backend', { type: 'string', pattern: NETWORK_NAME });

const mac = parsed(
  (text) => {
    if (parseStation(text) !== undefined) return text.toLowerCase();
    throw new VexitError(
      'ERR_CONFIG',
      `${text} is not a unicast MAC address`,
      'write it as 52:54:00:12:34:56',
    );
  },
  '52:54:00:12:34:56',
  { type: 'string' },
);

const settings = object(
  { mac: field(mac, "Address of the VM's card; default: follows from the names") },
  { what: 'an interface' },
);

export const memberships: Reader<Located<Membership>[]> = byKind({
  list: mapped(list(located(name)), (names) =>
    names.map(({ value, at }) => ({ value: { network: value }, at })),
  ),
  other: mapped(
    mapping(located(settings), { pattern: NETWORK_NAME, key: checkNetworkName, what: 'networks' }),
    (values) =>
      [...values].map(([network, { value, at }]) => ({
        value: { network, ...(value.mac === undefined ? {} : { mac: value.mac }) },
        at,
      })),
  ),
});
