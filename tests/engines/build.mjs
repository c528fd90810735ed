// Makes a component of a program with an engine: `node build.mjs PACKAGE PROGRAM WIT OUTPUT RELEASE-OR-DEBUG`.
import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

const [folder, program, wit, output, build] = process.argv.slice(2);
const { componentize } = await import(pathToFileURL(`${folder}/src/componentize.js`));
const { component } = await componentize(await readFile(program, 'utf8'), {
  witWorld: await readFile(wit, 'utf8'),
  disableFeatures: ['http', 'fetch-event'],
  debugBuild: build === 'debug',
});
await writeFile(output, component);
