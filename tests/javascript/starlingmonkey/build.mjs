// Makes a component of a program: `node build.mjs ENGINE PROGRAM WIT WORLD OUTPUT`, where ENGINE is that of a release or for debugging.
import { readFile, writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [engine, program, witPath, worldName, output] = process.argv.slice(2);
const { component } = await componentize(await readFile(program, 'utf8'), {
  witPath,
  worldName,
  disableFeatures: worldName === 'server' ? [] : ['http', 'fetch-event'],
  debugBuild: engine === 'debug',
});
await writeFile(output, component);
