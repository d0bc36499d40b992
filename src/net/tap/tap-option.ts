/** What people write about TAP devices, as plain data. */
import { VexitError } from '../../util/errors.js';

/** An interface on a TAP device of the host. Plain data. */
export interface TapNetOptions {
  readonly kind: 'tap';
  /** Name of the TAP device; made for the VM when it does not exist and that is allowed. */
  readonly name: string;
  /** Bytes of a packet, 68 to 65521: told to the guest, and set on a device that is made. */
  readonly mtu?: number;
  /** Pairs of queues, 1 to 8; 1. */
  readonly queues?: number;
}

/** IFNAMSIZ without the NUL. */
const NAME_BYTES = 15;
const SMALLEST_MTU = 68;
/** What a TAP device of Linux can be set to. */
const LARGEST_MTU = 65_521;
/** Queues that a device of the guest can have. */
const MOST_QUEUES = 8;
const KEYS = 'mac=, mtu=, queues=';

function fail(message: string, hint: string): never {
  throw new VexitError('ERR_CONFIG', message, hint);
}

/**
 * Parses `NAME,KEY=VALUE,...`, what follows `tap=`.
 * @param settings without the ones that all kinds of networks have
 * @throws VexitError ERR_CONFIG when it cannot be understood
 */
export function parseTapOption(name: string, settings: readonly [string, string][]): TapNetOptions {
  const options: { -readonly [K in keyof TapNetOptions]: TapNetOptions[K] } = { kind: 'tap', name };
  for (const [key, value] of settings) {
    if (key !== 'mtu' && key !== 'queues') {
      fail(`unknown setting "${key}" of a tap`, `settings are ${KEYS}`);
    }
    if (!/^\d{1,6}$/.test(value)) {
      fail(`${key}=${value} is not a number`, `write ${key}= and a number`);
    }
    options[key] = Number(value);
  }
  checkTapOptions(options);
  return options;
}

/**
 * Checks options that may come from a program.
 * @throws VexitError ERR_CONFIG for the first that makes no sense
 */
export function checkTapOptions({ name, mtu = SMALLEST_MTU, queues = 1 }: TapNetOptions): void {
  if (Buffer.byteLength(name) > NAME_BYTES) {
    fail(`the name of tap "${name}" is too long`, `give at most ${NAME_BYTES} characters`);
  }
  if (name === '' || name === '.' || name === '..' || /[\s/:%\0]/.test(name)) {
    fail(`"${name}" is not the name of an interface`, 'write tap=NAME, as in tap=tap0');
  }
  if (!(Number.isInteger(mtu) && mtu >= SMALLEST_MTU && mtu <= LARGEST_MTU)) {
    fail(`an MTU of ${mtu} does not work`, `write one from ${SMALLEST_MTU} to ${LARGEST_MTU}`);
  }
  if (!(Number.isInteger(queues) && queues >= 1 && queues <= MOST_QUEUES)) {
    fail(`${queues} queues do not work`, `write a number from 1 to ${MOST_QUEUES}`);
  }
}
