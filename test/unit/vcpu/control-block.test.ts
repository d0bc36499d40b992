import { Worker } from 'node:worker_threads';
import { closeSync } from 'node:fs';
import { MachineRequest } from '../../../src/bus/device';
import { native } from '../../../src/kvm/native';
import { ControlBlock, DoorbellBit, RunState } from '../../../src/vcpu/control-block';

let event: number;
beforeEach(() => {
  event = native().eventfdCreate();
});
afterEach(() => closeSync(event));

test('the first request wins and stops the machine', () => {
  const control = ControlBlock.create(event);
  const second = new ControlBlock(control.descriptor, 3);
  expect(control.pendingRequest.kind).toBe(MachineRequest.None);
  second.request(MachineRequest.DebugExit, 7);
  control.request(MachineRequest.Panic);
  expect(control.pendingRequest).toEqual({ kind: MachineRequest.DebugExit, data: 7, vcpu: 3 });
  expect(control.state).toBe(RunState.Stopped);
  expect(control.takeDoorbells()).toBe(1 << DoorbellBit.Request);
});

test('a doorbell wakes the host once until it looks', () => {
  const control = ControlBlock.create(event);
  const serial = control.doorbell(DoorbellBit.Serial0);
  serial.ring();
  serial.ring();
  control.ring(DoorbellBit.FirmwareLog);
  expect(native().eventfdDrain(event)).toBe(1);
  expect(control.takeDoorbells()).toBe((1 << DoorbellBit.Serial0) | (1 << DoorbellBit.FirmwareLog));
  expect(control.takeDoorbells()).toBe(0);
  expect(native().eventfdDrain(event)).toBe(0);
  serial.ring();
  expect(native().eventfdDrain(event)).toBe(1);
});

test('a parked vCPU goes on when the state changes', async () => {
  const control = ControlBlock.create(event);
  control.park();
  expect(control.parked).toBe(0);
  control.setState(RunState.Paused);
  // This thread parks; another one ends the pause.
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     const words = new Int32Array(workerData);
     setTimeout(() => { Atomics.store(words, 0, ${RunState.Running}); Atomics.notify(words, 0); }, 100);`,
    { eval: true, workerData: control.descriptor.buffer },
  );
  const start = Date.now();
  control.park();
  expect(Date.now() - start).toBeGreaterThan(50);
  expect(control.parked).toBe(0);
  expect(control.takeDoorbells()).toBe(1 << DoorbellBit.Parked);
  await worker.terminate();
});
