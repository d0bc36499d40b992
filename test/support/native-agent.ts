/** The vsock agent as a program of the host, behind a unix socket: everything but vsock is the same. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { GuestAgent } from '../../src/agent/guest-agent';
import { VexitError, errorMessage } from '../../src/util/errors';

const GUEST = path.resolve(__dirname, '../../src/guest');

/** A running agent and the library's face of it. */
export class NativeAgent {
  readonly agent: GuestAgent;
  readonly directory = mkdtempSync(path.join(tmpdir(), 'vexit-agent-'));
  readonly socket = path.join(this.directory, 'agent.sock');
  private process: ChildProcess | undefined;

  constructor() {
    this.agent = new GuestAgent(async () => {
      const stream = connect(this.socket);
      try {
        await once(stream, 'connect');
      } catch (error) {
        throw new VexitError('ERR_VSOCK', errorMessage(error));
      }
      return stream;
    });
  }

  /** Compiles and starts it. */
  async start(): Promise<void> {
    const program = path.join(this.directory, 'vexit-agent');
    const sources = readdirSync(path.join(GUEST, 'agent')).filter((name) => name.endsWith('.c'));
    execFileSync(
      'gcc',
      [
        ...['-O1', '-g', '-Wall', '-Wextra', '-Werror', '-fsanitize=address,undefined'],
        ...sources.map((name) => path.join(GUEST, 'agent', name)),
        ...['pty.c', 'input.c'].map((name) => path.join(GUEST, 'init', name)),
        ...['-o', program],
      ],
      { stdio: 'pipe' },
    );
    this.process = spawn(program, ['--socket', this.socket], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' },
    });
    await this.agent.ready(AbortSignal.timeout(20_000));
  }

  /** Ends it. */
  async stop(): Promise<void> {
    if (this.process?.exitCode === null) {
      const exited = once(this.process, 'exit');
      this.process.kill();
      await exited;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
