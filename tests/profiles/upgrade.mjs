// Makes later versions of a profile with the Firefox Profiler's own upgraders.
//
//   node upgrade.mjs CHECKOUT OUTPUT PROFILE [VERSION...]
//
// CHECKOUT is of firefox-devtools/profiler, with the packages that README.md names. Of OUTPUT-v56.json.gz to the newest
// version, those with the VERSIONs are written, by default all, and the newest as the Download button writes it when
// something is left out, which drops the rows that nothing needs: OUTPUT-download.json.gz with all samples, and
// OUTPUT-cut.json.gz with the end of the recording only, from the last but one sample of the first thread on.
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';

const [checkout, output, profile, ...versions] = process.argv.slice(2);
const source = join(resolve(checkout), 'src');
const esbuild = createRequire(join(source, 'x.js'))('esbuild');

/** The module at `path`, with `newest` for the version that the upgraders end with. */
async function load(path, newest) {
  const { outputFiles } = await esbuild.build({
    entryPoints: [join(source, path)],
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    // Not needed for what is called here.
    plugins: [{ name: 'no devtools-reps', setup: withoutReps }],
    write: false,
    logLevel: 'error',
  });
  const number = /PROCESSED_PROFILE_VERSION = \d+;/;
  const text = outputFiles[0].text;
  const code = newest ? text.replace(number, `PROCESSED_PROFILE_VERSION = ${newest};`) : text;
  const module = await import('data:text/javascript;base64,' + Buffer.from(code).toString('base64'));
  return { module, newest: Number(number.exec(text)?.[0].match(/\d+/)) };
}

function withoutReps(build) {
  build.onResolve({ filter: /^devtools-reps$/ }, ({ path }) => ({ path, namespace: 'empty' }));
  build.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export const ValueSummaryReader = null;' }));
}

function write(name, value) {
  // The front-end writes typed arrays as others.
  const plain = (_key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
  // gzip's header has no time here, so that equal profiles are equal files.
  writeFileSync(`${output}-${name}.json.gz`, gzipSync(JSON.stringify(value, plain), { level: 9 }));
}

const read = () => JSON.parse(gunzipSync(readFileSync(profile)));
const upgraders = 'profile-logic/processed-profile-versioning.ts';
const { newest } = await load(upgraders);
const from = read().meta.preprocessedProfileVersion;
let upgraded = read();
for (let version = from + 1; version <= newest; version++) {
  const { module } = await load(upgraders, version);
  upgraded = module.attemptToUpgradeProcessedProfileThroughMutation(read(), {});
  if (upgraded.meta.preprocessedProfileVersion !== version) {
    throw new Error(`not upgraded to ${version}`);
  }
  if (versions.length === 0 || versions.includes(String(version))) {
    write(`v${version}`, upgraded);
  }
}
const { computeCompactedProfile } = (await load('profile-logic/profile-compacting.ts')).module;
write('download', computeCompactedProfile(upgraded).profile);

const { computeTimeColumnForRawSamplesTable, filterRawThreadSamplesToRange } = (
  await load('profile-logic/profile-data.ts')
).module;
const times = computeTimeColumnForRawSamplesTable(upgraded.threads[0].samples);
const [start, end] = [times[times.length - 2], upgraded.meta.profilingEndTime];
const threads = upgraded.threads.map((thread) => filterRawThreadSamplesToRange(thread, start, end));
const meta = { ...upgraded.meta, profilingStartTime: start, profilingEndTime: end };
write('cut', computeCompactedProfile({ ...upgraded, meta, threads }).profile);
