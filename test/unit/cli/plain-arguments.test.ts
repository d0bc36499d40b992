import yargs from 'yargs';
import { RUN_OPTIONS } from '../../../src/cli/commands/run.js';
import { parsePlain } from '../../../src/cli/plain-arguments.js';

/** What yargs makes of the same arguments, without the spellings parsePlain does not give. */
function byYargs(args: readonly string[]): Record<string, unknown> {
  const values: Record<string, unknown> = yargs(args as string[])
    .options(RUN_OPTIONS)
    .parserConfiguration({ 'populate--': true, 'duplicate-arguments-array': true })
    .help(false)
    .version(false)
    .parseSync();
  const camelCased = Object.entries(values).filter(
    ([key, value]) =>
      value !== undefined && (key === '--' || (key.length > 1 && /^[a-z]+$/i.test(key))),
  );
  return Object.fromEntries(camelCased);
}

const PLAIN: readonly (readonly string[])[] = [
  [],
  ['--kernel', 'vmlinux', '--memory', '512M', '--cpus', '2'],
  ['--kernel=vmlinux', '-m', '1G', '-c', '4', '-v'],
  ['--kernel=a=b'],
  ['-k', 'x', '-i', 'a', '--initrd', 'b', '--initrd=c'],
  ['--boot-protocol', 'flat', '--flat-address', '0x1000', '--debug-exit', '--debug-console'],
  ['--no-reboot', '--json', '--timeout', '1.5'],
  ['--no-tty', '-e', 'A=1', '-e', 'B=2', '--', 'sh', '-c', 'echo "x y"; exit 3'],
  ['--', '--kernel', 'x'],
  ['--cmdline', 'console=ttyS0 quiet', '--append', 'x=1'],
  ['--memory', '512'],
  ['--user', '0', '--workdir', '/tmp'],
  ['--cpu', 'host,-avx2'],
];

test.each(PLAIN.map((args) => [args]))('reads %j as yargs does', (args) => {
  const plain = parsePlain(args, RUN_OPTIONS);
  expect(plain).toEqual(byYargs(args));
});

test.each([
  [['--help']],
  [['-h']],
  [['--kernl', 'x']],
  [['--kernel']],
  [['--kernel', '--json']],
  [['--kernel', '']],
  [['--kernel=']],
  [['--kernel', '"quoted"']],
  [['--kernel', 'a', '--kernel', 'b']],
  [['--cpus', 'x']],
  [['--cpus', '-1']],
  [['--cpus', '0x2']],
  [['--boot-protocol', 'bios']],
  [['--json', 'true']],
  [['--json=false']],
  [['--json', '--json']],
  [['--no-kernel']],
  [['-vk', 'x']],
  [['-kx']],
  [['-k=x']],
  [['stray']],
  [['--']],
  [['--debugExit']],
  [['--constructor', 'x']],
  [['--no-constructor']],
  [['--no-']],
])('leaves %j to yargs', (args) => {
  expect(parsePlain(args, RUN_OPTIONS)).toBeUndefined();
});
