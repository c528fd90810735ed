// Opens a profile in a built front-end of the Firefox Profiler, does what a reader would, and keeps pictures.
// `node open.mjs --help` says how. Fails where the page cannot load the profile, logs an error or a warning, or asks
// another machine for anything.
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, extname, join, normalize, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';

const HELP = `Opens a profile in a built front-end of the Firefox Profiler, does what a reader would, and keeps pictures.

node open.mjs [OPTIONS] PROFILE|ADDRESS [STEP...]

PROFILE is a file, ADDRESS what \`witprof view --no-open\` prints. The built front-end answers in the place of the official one.

  --dist FOLDER   the built front-end [default: environment variable FRONT_END, else what \`build\` made]
  --out FOLDER    where pictures go [default: here]
  --name NAME     how their names begin [default: the file's name]
  --tab TAB       opened first: calltree, flame-graph, stack-chart, marker-chart, marker-table, network-chart
  --query QUERY   added to the address, such as 'thread=1&invertCallstack'
  --size WxH      of the window [default: 1200x900]
  --dark          a dark theme
  --lenient       report errors and warnings of the page, but do not fail

Each step waits until what it is about is there. A SELECTOR is that of CSS, or one of Puppeteer: '::-p-text(app)'.

  picture[:WHAT]      a picture of the window: NAME-WHAT.png
  tab:TAB             go to a tab
  click:SELECTOR      also \`dblclick\` and \`hover\`; in its middle, or at @X,Y (shares of its size): 'hover:canvas@0.5,0.9'
  key:KEY             press a key
  type:TEXT           type text
  wait:SELECTOR       wait until it is seen
  gone:SELECTOR       wait until it is not
  text:SELECTOR       print its text

Without steps, a picture is taken as the profile opens.`;

function stop(why) {
  console.error(why);
  process.exit(2);
}

let options, profile, steps;
try {
  const parsed = parseArgs({
    allowPositionals: true,
    options: {
      dist: { type: 'string', default: process.env.FRONT_END ?? join(import.meta.dirname, '../../target/front-end/dist') },
      out: { type: 'string', default: '.' },
      name: { type: 'string' },
      tab: { type: 'string' },
      query: { type: 'string', default: '' },
      size: { type: 'string', default: '1200x900' },
      dark: { type: 'boolean', default: false },
      lenient: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  options = parsed.values;
  [profile, ...steps] = parsed.positionals;
} catch (error) {
  stop(error.message);
}
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
if (profile === undefined) stop(HELP);
if (steps.length === 0) steps.push('picture');

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm', '.json': 'application/json', '.png': 'image/png', '.jpg': 'image/jpeg' };

const isFile = (path) => stat(path).then((found) => found.isFile(), () => false);
const dist = resolve(options.dist);
if (!(await isFile(join(dist, 'index.html')))) stop(`${dist} has no index.html: run \`build\` first, or say with --dist where it is`);

// A file is served as `witprof view` serves it.
const server = createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Access-Control-Allow-Origin': '*' });
  createReadStream(profile).pipe(response);
});
let address;
if (/^https?:/.test(profile)) address = new URL(profile);
else {
  if (!(await isFile(profile))) stop(`there is no file ${profile}`);
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const file = `http://127.0.0.1:${server.address().port}/${encodeURIComponent(basename(profile))}`;
  address = new URL(`https://profiler.firefox.com/from-url/${encodeURIComponent(file)}/`);
}
if (options.tab !== undefined) address.pathname = `${address.pathname.replace(/(?<=\/from-url\/[^/]*)\/.*$/, '')}/${options.tab}/`;
if (options.query !== '') address.search += `${address.search === '' ? '?' : '&'}${options.query}`;

/** What the built front-end answers: a file, or its one page, which is all views. */
async function answer(path) {
  const file = join(dist, normalize(decodeURIComponent(path)));
  if (await isFile(file)) return { contentType: TYPES[extname(file)], body: await readFile(file) };
  if (extname(file) === '.map') return { status: 404 };
  return { contentType: TYPES['.html'], body: await readFile(join(dist, 'index.html')) };
}

const name = options.name ?? (/^https?:/.test(profile) ? 'view' : basename(profile).replace(/(\.json)?(\.gz)?$/, ''));
const [width, height] = options.size.split('x').map(Number);
const complaints = [];
const complain = (what) => {
  complaints.push(what);
  console.error(`page: ${what}`);
};

const executablePath = process.env.CHROMIUM ?? (await (async () => {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const paths = (process.env.PATH ?? '').split(':').flatMap((folder) => names.map((name) => join(folder, name)));
  for (const path of paths) if (await isFile(path)) return path;
  stop('no Chromium: set CHROMIUM to its path');
})());
const browser = await puppeteer.launch({
  executablePath,
  // The last is the reader who allows the page to read from this machine, which newer browsers ask.
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--disable-features=LocalNetworkAccessChecks'],
  defaultViewport: { width, height },
});

try {
  const page = await browser.newPage();
  page.on('console', (message) => {
    if (['error', 'warn', 'assert'].includes(message.type())) complain(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complain(`error: ${error.message}`));
  await page.setRequestInterception(true);
  page.on('request', async (request) => {
    const url = new URL(request.url());
    if (url.origin === address.origin) return request.respond(await answer(url.pathname));
    if (['127.0.0.1', 'localhost'].includes(url.hostname) || ['data:', 'blob:'].includes(url.protocol)) return request.continue();
    complain(`asked ${url.origin}`);
    request.abort();
  });
  // The official one keeps itself for use without a network. Here that would be a build of another time.
  await page.evaluateOnNewDocument(() => delete Navigator.prototype.serviceWorker);
  if (options.dark) await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);

  const frames = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const seen = (selector) => page.waitForSelector(selector, { visible: true });

  /** A picture that no longer changes: what a canvas shows is in no element that could be waited for. */
  async function picture() {
    for (let before, tries = 0; tries < 100; tries++) {
      await frames();
      const now = Buffer.from(await page.screenshot());
      if (before?.equals(now)) return now;
      before = now;
    }
    throw new Error('the page does not come to rest');
  }

  async function point(target) {
    const [, selector, x = 0.5, y = 0.5] = /^(.*?)(?:@([\d.]+),([\d.]+))?$/s.exec(target);
    const element = await seen(selector);
    await element.scrollIntoView();
    const box = await element.boundingBox();
    return [box.x + box.width * x, box.y + box.height * y];
  }

  const acts = {
    async picture(what) {
      await mkdir(options.out, { recursive: true });
      const path = join(options.out, `${name}${what ? `-${what}` : ''}.png`);
      await writeFile(path, await picture());
      console.log(path);
    },
    tab: async (tab) => (await seen(`.tabBarTab[data-name="${tab}"]`)).click(),
    click: async (target) => page.mouse.click(...(await point(target))),
    dblclick: async (target) => page.mouse.click(...(await point(target)), { count: 2 }),
    // Twice, as a hand's pointer does not appear inside either.
    async hover(target) {
      const [x, y] = await point(target);
      await page.mouse.move(x - 1, y);
      await page.mouse.move(x, y);
    },
    key: (key) => page.keyboard.press(key),
    type: (text) => page.keyboard.type(text),
    wait: seen,
    gone: (selector) => page.waitForSelector(selector, { hidden: true }),
    text: async (selector) => console.log(await (await seen(selector)).evaluate((element) => element.innerText)),
  };

  await page.goto(address.href);
  await page.waitForSelector('.profileViewer .Details, .rootMessage:not(:has(.loading))');
  const failed = await page.$('.rootMessage');
  if (failed !== null) throw new Error(await failed.evaluate((element) => element.innerText));
  for (const step of steps) {
    const [, act, argument] = /^([a-z]+)(?::(.*))?$/s.exec(step) ?? [];
    if (acts[act] === undefined) throw new Error(`no step is called ${step}; --help has the list`);
    try {
      await acts[act](argument);
      await frames();
    } catch (error) {
      await acts.picture('failed');
      throw new Error(`step ${step}: ${error.message}`);
    }
  }
} catch (error) {
  complain(error.message);
  options.lenient = false;
} finally {
  await browser.close();
  server.close();
}
process.exitCode = complaints.length > 0 && !options.lenient ? 1 : 0;
