import { rootDisk, rootParameters, virtioDiskName } from '../../../src/boot/root-disk';
import { thrownBy } from '../../support/thrown';

describe('virtioDiskName', () => {
  it.each([
    [0, 'vda'],
    [25, 'vdz'],
    [26, 'vdaa'],
    [51, 'vdaz'],
    [52, 'vdba'],
    [701, 'vdzz'],
    [702, 'vdaaa'],
  ])('%i is %s', (index, name) => {
    expect(virtioDiskName(index)).toBe(name);
  });
});

describe('rootParameters', () => {
  it('tells the agent, a kernel or an initrd, each in its words', () => {
    const disks = [{ root: true }, {}];
    expect(rootParameters(disks, 'agent')).toEqual(['vexit.root=/dev/vda', 'rw']);
    expect(rootParameters(disks, 'kernel')).toEqual(['root=/dev/vda', 'rw']);
    expect(rootParameters(disks, 'initrd')).toEqual(['root=/dev/vda', 'rw']);
  });

  it('mounts a read-only disk read-only, wherever it is in the list', () => {
    const disks = [{}, {}, { root: true, readOnly: true }];
    expect(rootParameters(disks, 'agent')).toEqual(['vexit.root=/dev/vdc', 'ro']);
  });

  it('takes the first disk that does not say data, unless another says root', () => {
    expect(rootDisk([{}, {}])).toBe(0);
    expect(rootDisk([{ root: false }, {}, {}])).toBe(1);
    expect(rootDisk([{}, { root: true }])).toBe(1);
  });

  it('says nothing without a root', () => {
    expect(rootParameters([], 'agent')).toEqual([]);
    expect(rootParameters([{ root: false }, { root: false }], 'kernel')).toEqual([]);
  });

  it("leaves the user's own root alone", () => {
    for (const given of ['root=/dev/vdb ro', 'quiet vexit.root=/dev/vdb', 'a\troot=UUID=1']) {
      expect(rootParameters([{ root: true }], 'agent', given)).toEqual([]);
    }
    expect(rootParameters([{ root: true }], 'agent', 'nfsroot=x myroot=y')).toHaveLength(2);
  });

  it('refuses several roots', () => {
    const error = thrownBy(() => rootParameters([{ root: true }, { root: true }], 'kernel'));
    expect(error).toMatchObject({ code: 'ERR_CONFIG', hint: 'choose one' });
  });
});
