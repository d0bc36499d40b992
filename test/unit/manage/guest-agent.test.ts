/** Which managed VMs have an agent, where its socket is, and what a guest's path looks like. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseGuestPath } from '../../../src/cli/manage/copy-files';
import { agentOf, withAgent } from '../../../src/manage/guest-agent';
import { newConfig } from '../../../src/manage/new-config';
import { VmDirectory } from '../../../src/manage/vm-directory';
import { withVsockPlace } from '../../../src/manage/vsock-place';

let root: string;
let directory: VmDirectory;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-managed-agent-'));
  directory = new VmDirectory(root);
});
afterEach(() => fs.rmSync(root, { recursive: true }));

describe('the agent of managed VMs', () => {
  test('the default guest has one unless it is not wanted; another kernel has none', () => {
    expect(withAgent({})).toEqual({ agent: true });
    expect(withAgent({ agent: false })).toEqual({ agent: false });
    expect(withAgent({ kernel: 'vmlinux' })).toEqual({ kernel: 'vmlinux' });
    expect(withAgent({ firmware: 'rom' })).toEqual({ firmware: 'rom' });
    expect(newConfig({ options: {}, detached: false }).options).toEqual({});
  });

  test('its socket is in the directory of the VM, unless the options name another place', () => {
    const path = directory.vsockSocket;
    expect(withVsockPlace({ agent: true }, directory).vsock).toEqual({ path });
    expect(withVsockPlace({ vsock: { cid: 9 } }, directory).vsock).toEqual({ cid: 9, path });
    expect(withVsockPlace({ vsock: { path: 'x' } }, directory).vsock).toEqual({ path: 'x' });
    expect(withVsockPlace({ kernel: 'vmlinux' }, directory).vsock).toBeUndefined();
  });

  test('who has none is told how to get one', () => {
    const own = newConfig({ options: { kernel: 'vmlinux' } });
    expect(() => agentOf(directory, own)).toThrow('has no agent');
    const terminal = newConfig({ options: {}, detached: false });
    expect(() => agentOf(directory, terminal)).toThrow('has no agent');
  });

  test('an operation on a VM without a process fails at once', async () => {
    const agent = agentOf(directory, newConfig({ options: {} }));
    await expect(agent.info()).rejects.toMatchObject({ code: 'ERR_VM_STATE' });
    await expect(agent.info({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
  });
});

test.each([
  ['web:/a/b', { vm: 'web', file: '/a/b' }],
  ['web:a', { vm: 'web', file: '/a' }],
  ['web:/', { vm: 'web', file: '/' }],
  ['web:/a:b', { vm: 'web', file: '/a:b' }],
  ['./web:a', undefined],
  ['/x/web:a', undefined],
  ['a', undefined],
  [':a', undefined],
])('%s as a path of a guest', (text, expected) => {
  expect(parseGuestPath(text)).toEqual(expected);
});

test('a guest without a path', () => {
  expect(() => parseGuestPath('web:')).toThrow('web: has no path');
});
