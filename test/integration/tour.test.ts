/**
 * The tour of docs/manage.md, command by command as it is written there.
 *
 * VEXIT_TOUR_USER=1 takes it once more, as a user who is not root.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeKvm } from '../support/kvm';
import { Terminal } from '../support/terminal';
import { UnprivilegedHost, USER_ID, unprivilegedProblem } from '../support/unprivileged';

const ROOT = path.resolve(__dirname, '../..');
/** A boot takes 20 s of a processor here; a busy machine may need many times that. */
const BUSY_MS = 600_000;
jest.setTimeout(BUSY_MS);

/** The commands of the guide, without what it says about them. */
function commands(): string[] {
  const text = fs.readFileSync(path.join(ROOT, 'docs/manage.md'), 'utf8');
  const block = /^```sh\n(.*?)^```$/ms.exec(text)![1]!;
  return block
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/\s{2,}#.*$/, '').trim());
}

/** Where the tour is taken: a directory, a state directory and `vexit` in PATH. */
class Place {
  private readonly terminals: Terminal[] = [];
  /** Of whoever takes the tour, with all that the tour makes. */
  private readonly home: string;
  private readonly env: Readonly<Record<string, string>>;

  /** @param user who takes it; undefined: whoever runs the test */
  constructor(private readonly user?: UnprivilegedHost) {
    this.home = user?.home ?? fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-tour-'));
    const [node, cli] = user?.vexit() ?? [process.execPath, path.join(ROOT, 'dist/cli.js')];
    const bin = path.join(this.home, 'bin');
    for (const name of [bin, this.path('site')]) fs.mkdirSync(name, { recursive: true });
    const program = `#!/bin/sh\nexec '${node}' '${cli}' "$@"\n`;
    fs.writeFileSync(path.join(bin, 'vexit'), program, { mode: 0o755 });
    fs.writeFileSync(this.path('site/index.html'), '<p>hello</p>\n');
    if (user !== undefined) fs.chownSync(this.path(''), USER_ID, USER_ID);
    this.env = {
      PATH: `${bin}:${process.env.PATH}`,
      XDG_STATE_HOME: path.join(this.home, 'state'),
      ...{ VEXIT_CODE_CACHE: '0', NO_COLOR: '1', PS1: '$ ' },
    };
  }

  /** Starts a shell's line. */
  start(line: string): ChildProcess {
    const argv = ['sh', '-c', `cd '${this.path('')}' && ${line}`];
    if (this.user !== undefined) return this.user.spawn(argv, { env: this.env });
    return spawn(argv[0]!, argv.slice(1), { env: { ...process.env, ...this.env }, stdio: 'pipe' });
  }

  /** What a command prints; it has to succeed and to have nothing to complain about. */
  async run(line: string): Promise<string> {
    const child = this.start(line);
    child.stdin!.end();
    let [stdout, stderr] = ['', ''];
    child.stdout!.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr!.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    const status = await new Promise((resolve) => child.on('close', resolve));
    expect({ line, stderr, status }).toEqual({ line, stderr: '', status: 0 });
    return stdout.trim();
  }

  /** A command that goes on until Ctrl-C; what it prints has to come to hold this. */
  async follow(line: string, text: string): Promise<void> {
    const terminal = this.terminal(line);
    await terminal.shows(text);
    terminal.type('\x03');
    await terminal.closes();
  }

  /** A command on a terminal, which then says what status it had. */
  terminal(line: string): Terminal {
    const terminal = new Terminal(`tty; ${line}; echo status=$?`, {
      start: (argv) => this.start(`exec ${argv.map((one) => `'${one}'`).join(' ')}`),
      patienceMs: BUSY_MS,
    });
    this.terminals.push(terminal);
    return terminal;
  }

  path(name: string): string {
    return path.join(this.home, 'work', name);
  }

  /** What there is in the state directory. */
  state(): string[] {
    return fs.readdirSync(path.join(this.home, 'state/vexit')).sort();
  }

  async leave(): Promise<void> {
    for (const terminal of this.terminals) terminal.kill();
    await this.run('vexit rm -f $(vexit ps -aq) 2>/dev/null; exit 0');
    fs.rmSync(this.home, { recursive: true, force: true });
    await this.user?.[Symbol.asyncDispose]();
  }
}

/** The shell of the guide's `exec -it`: the window's size, a new one, and its status. */
async function shell(place: Place, line: string): Promise<void> {
  const terminal = place.terminal(`stty rows 31 cols 97; ${line}`);
  await terminal.shows('# ');
  terminal.type('stty size\r');
  await terminal.shows('31 97');
  const device = /\/dev\/pts\/\d+/.exec(terminal.text)![0];
  await place.run(`stty rows 41 cols 99 <${device}`);
  terminal.type('until [ "$(stty size)" = "41 99" ]; do sleep 0.1; done; echo resi""zed\r');
  await terminal.shows('resized');
  terminal.type('exit 3\r');
  await terminal.shows('status=3');
  await terminal.closes();
}

async function consoleOf(place: Place, line: string): Promise<void> {
  const terminal = place.terminal(line);
  await terminal.shows('Ctrl-a d');
  terminal.type('echo on the con""sole\r');
  await terminal.shows('on the console');
  terminal.type('\x01d');
  await terminal.shows('status=0');
  await terminal.closes();
}

/** What a command of the guide has to do: what it prints, or how it is taken. */
type Expected = RegExp | ((place: Place, line: string) => Promise<void>);

const EXPECTED: readonly (readonly [string, Expected])[] = [
  ['vexit run -d --name web', /^web$/],
  ['vexit ps -a', /^web-1 +exited \(137\)/m],
  ['vexit ps', /^web +running .*127\.0\.0\.1:8080->80\/tcp/m],
  ['vexit logs -f web', (place, line) => place.follow(line, '# ')],
  ['vexit exec web -- uname', /^Linux .* x86_64 /],
  ['vexit exec -it web', shell],
  ['vexit cp ./site web:/srv', /^$/],
  [
    'vexit cp web:/etc/hosts .',
    async (place, line) => {
      expect(await place.run(line)).toBe('');
      expect(fs.readFileSync(place.path('hosts'), 'utf8')).toContain('localhost');
      const page = 'vexit exec web -- cat /srv/index.html';
      expect(await place.run(page)).toBe('<p>hello</p>');
    },
  ],
  ['vexit attach web', consoleOf],
  ['vexit stats --no-stream', /^NAME.*\nweb +\d+\.\d .*\d+M +/],
  ['vexit top', /vcpu0/],
  ['vexit port', /^127\.0\.0\.1:8080->80\/tcp$/],
  ['vexit pause', /^web$/],
  ['vexit resume', /^web$/],
  ['vexit update', /^web$/],
  ['vexit rename', /^$/],
  ['vexit inspect --format', /^\d+$/],
  ['vexit inspect', /"name": "on-failure",\n +"max": 3/],
  ['vexit stop', /^web-1$/],
  ['vexit wait', /^0$/],
  ['vexit start -a', /^hello\r?$/m],
  ['vexit start', /^web-1$/],
  ['vexit restart', /^web-1$/],
  ['vexit kill', /^web-1$/],
  ['vexit events', / web create\n[^]*web-1 kill\n/],
  ['vexit rm', /^web-1$/],
  ['vexit create', /^once$/],
  ['vexit prune', /^$/],
];

async function take(place: Place): Promise<void> {
  const lines = commands();
  expect(lines.length).toBeGreaterThanOrEqual(20);
  for (const line of lines) {
    const [, expected] = EXPECTED.find(([begin]) => line.startsWith(begin)) ?? [];
    if (expected === undefined) throw new Error(`what does this print? ${line}`);
    if (expected instanceof RegExp) expect(await place.run(line)).toMatch(expected);
    else await expected(place, line);
  }
  expect(await place.run('vexit ps -aq')).toBe('');
  expect(place.state()).toEqual(['events.jsonl', 'vms']);
}

describeKvm('the tour of the user guide', () => {
  let place: Place | undefined;
  afterEach(() => place?.leave());

  test('as it is written', async () => {
    place = new Place();
    await take(place);
  });

  const problem = process.env.VEXIT_TOUR_USER === '1' ? unprivilegedProblem() : 'not asked for';
  (problem === '' ? test : test.skip)('as a user without privileges', async () => {
    place = new Place(await UnprivilegedHost.create());
    expect(await place.run('id -u')).toBe(String(USER_ID));
    await take(place);
  });
});
