// Makes the demo of the README: takes the tour of scripts/demo/tour.ts with dist/cli.js on a terminal,
// writes the recording to docs/demo.cast and the picture that plays it to docs/demo.svg.
//
//   node scripts/demo.mjs             a new recording; needs /dev/kvm, the default guest and port 8080
//   node scripts/demo.mjs --render    a new picture of the recording that is there
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { root } from './stamps.mjs';

const { values } = parseArgs({ options: { render: { type: 'boolean', default: false } } });

const outfile = path.join(root, 'build/demo.cjs');
mkdirSync(path.dirname(outfile), { recursive: true });
await build({
  ...{ entryPoints: [path.join(root, 'scripts/demo/index.ts')], outfile },
  ...{ bundle: true, platform: 'node', format: 'cjs', packages: 'external' },
});
const { readCast, recordTour, screensOf, svgOf, writeCast } = await import(outfile);

const castFile = path.join(root, 'docs/demo.cast');
const cast = values.render
  ? readCast(readFileSync(castFile, 'utf8'))
  : await recordTour(path.join(root, 'dist/cli.js')).catch((error) => {
      console.error(`demo: ${error.message}`);
      process.exit(1);
    });
if (!values.render) writeFileSync(castFile, writeCast(cast));

const svg = svgOf(await screensOf(cast), cast);
writeFileSync(path.join(root, 'docs/demo.svg'), svg);
console.log(`docs/demo.svg: ${svg.length} bytes`);
