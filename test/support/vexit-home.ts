/** A state directory and a place for LANs of a test's own, and the command line that uses them. */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { until } from './run-guest';

export const CLI = path.resolve(__dirname, '../../dist/cli.js');

/** How a command ended. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function entries(directory: string): string[] {
  return fs.existsSync(directory) ? fs.readdirSync(directory) : [];
}

export class VexitHome {
  /** The state directory, and the working directory of commands. */
  readonly home = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-up-'));
  /** LANs have sockets there, whose paths have to be short. */
  readonly runtime = fs.mkdtempSync(path.join(os.tmpdir(), 'vx-'));
  readonly env: NodeJS.ProcessEnv = {
    ...{ ...process.env, XDG_STATE_HOME: this.home, XDG_RUNTIME_DIR: this.runtime },
    ...{ VEXIT_CODE_CACHE: '0', NO_COLOR: '1' },
  };

  async vexit(...args: string[]): Promise<Outcome> {
    const { env, home: cwd } = this;
    try {
      return {
        status: 0,
        ...(await promisify(execFile)(process.execPath, [CLI, ...args], { env, cwd })),
      };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { status: code, stdout, stderr };
    }
  }

  /** What a command that succeeds prints. */
  async ok(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.vexit(...args);
    expect({ args, status, stderr: status === 0 ? '' : stderr }).toEqual({
      ...{ args, status: 0, stderr: '' },
    });
    return stdout.trim();
  }

  write(text: string, file = 'vms.yaml'): void {
    fs.writeFileSync(path.join(this.home, file), text);
  }

  /** What `up -d` did with each VM. */
  async up(...more: string[]): Promise<Record<string, string>> {
    const result = JSON.parse(await this.ok('up', '-d', '--json', ...more)) as {
      vms: { vm: string; action: string }[];
    };
    return Object.fromEntries(result.vms.map(({ vm, action }) => [vm, action]));
  }

  /** Processes of VMs of this test. */
  processes(): number[] {
    const mine = (pid: string): boolean => {
      try {
        const text = fs.readFileSync(`/proc/${pid}/environ`, 'latin1');
        return text.includes(`XDG_STATE_HOME=${this.home}\0`);
      } catch {
        return false; // ended, or another user's
      }
    };
    return fs
      .readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && mine(pid))
      .map(Number);
  }

  get lans(): string[] {
    return entries(path.join(this.runtime, 'vexit/lan'));
  }

  /** No VM, process, socket, lock of a project, or LAN. */
  async expectNothing(): Promise<void> {
    const vms = entries(path.join(this.home, 'vexit/vms')).filter((name) => name !== '.lock');
    expect({ vms, lans: this.lans }).toEqual({ vms: [], lans: [] });
    // A process lives a moment longer than its lock.
    await until('no process', () => this.processes().length === 0, 10_000);
  }

  remove(): void {
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL');
    fs.rmSync(this.home, { recursive: true, force: true });
    fs.rmSync(this.runtime, { recursive: true, force: true });
  }
}
