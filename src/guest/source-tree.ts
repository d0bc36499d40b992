/** What of the kernel's source is not unpacked: nine tenths of it are drivers no guest has. */

const SOURCES = ['*.[chS]', '*.dts', '*.dtsi'];

/** Directories whose Kconfig and make files are read, but none of whose code is compiled. */
const KCONFIG_ONLY = [
  'drivers/gpu',
  'drivers/media',
  'drivers/staging',
  'drivers/infiniband',
  'drivers/iio',
  'drivers/scsi',
  'drivers/net/ethernet',
  'drivers/net/wireless',
  'drivers/usb',
  'drivers/platform',
  'drivers/hwmon',
  'drivers/mtd',
  'drivers/crypto',
  'drivers/clk',
  'drivers/pinctrl',
  'drivers/regulator',
  'drivers/mfd',
  'drivers/power',
  'drivers/soc',
  'drivers/video',
  'drivers/phy',
  'drivers/isdn',
  'drivers/target',
  'sound',
  'fs/xfs',
  'fs/btrfs',
  'fs/ocfs2',
  'fs/nfs',
  'fs/nfsd',
  'fs/cifs',
  'samples',
];

/** Other processors: the crypto menu reads their Kconfig whatever the architecture is. */
const OTHER_ARCHITECTURES = [
  ...['alpha', 'arc', 'arm', 'arm64', 'csky', 'hexagon', 'ia64', 'loongarch', 'm68k'],
  ...['microblaze', 'mips', 'nios2', 'openrisc', 'parisc', 'powerpc', 'riscv', 's390', 'sh'],
  ...['sparc', 'um', 'xtensa'],
].map((arch) => `arch/${arch}`);

const UNUSED_TOOLS = ['testing', 'perf', 'bpf', 'power', 'verification', 'tracing', 'virtio'];

/** Patterns for tar's --exclude, below the top directory of the archive. */
export const UNPACK_EXCLUDES: readonly string[] = [
  ...[...KCONFIG_ONLY, ...OTHER_ARCHITECTURES].flatMap((directory) =>
    SOURCES.map((glob) => `${directory}/${glob}`),
  ),
  ...UNUSED_TOOLS.map((tool) => `tools/${tool}`),
  ...['*.rst', '*.txt', '*.yaml', '*.svg'].map((glob) => `Documentation/${glob}`),
];
