// The page as a whole.

function showSummary() {
  const { taken, kept, lost } = data.samples;
  const reasons = Object.entries(lost).filter(([, count]) => count > 0);
  const { command, witprof, wasmtime, os, arch, cpu, cpus } = data.origin;
  const known = parts => parts.filter(part => (part ?? '') !== '').map(printable).join(', ');
  const facts = [
    ...(data.captured === null ? [] : [['Captured', printable(data.captured)]]),
    ['Sampled', time(data.wall_ms)],
    ['On the CPU', time(data.cpu_ms), `(${percent(data.cpu_ms, data.wall_ms)})`],
    ...(data.preempted_ms === null ? []
      : [['Waiting for a CPU', time(data.preempted_ms), `(${percent(data.preempted_ms, data.wall_ms)})`]]),
    ...(data.profiler_ms > 0 ? [['Profiler, in no row', time(data.profiler_ms)]] : []),
    ['Elapsed', time(data.elapsed_ms)],
    ['Samples', number(kept), `of ${number(taken)}`,
      ...reasons.map(([why, count]) => `· lost ${number(count)} ${why}`)],
    ['Sampler', data.sampler, `every ${data.interval_ms} ms`],
    ['Started', data.started_at.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC')],
  ];
  const machine = known([os, arch, cpu, cpus === null ? null : `${cpus} CPU${cpus === 1 ? '' : 's'}`]);
  const version = (program, its) => (its === null ? null : `${program} ${its}`);
  const versions = known([version('witprof', witprof), version('Wasmtime', wasmtime)]);
  $('tool').textContent = [`Page by witprof ${data.version}`, versions === '' ? '' : `recorded by ${versions}`, machine]
    .filter(part => part !== '').join(' · ');
  $('name').textContent = printable(data.name);
  $('command').hidden = command === null || command === '';
  $('command').textContent = printable(command ?? '');
  $('summary').append(...facts.map(([term, fact, ...notes]) => el('div', {},
    el('dt', {}, term),
    el('dd', {}, `${fact} `, el('small', {}, notes.join(' '))))));
}

// Wiring

/** Calls `action` at most once in a frame of the screen. */
function calmly(action) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      action();
    });
  };
}

function onKeys(element, keys, subject = () => undefined, isMeant = () => true) {
  element.addEventListener('keydown', event => {
    if (event.ctrlKey || event.altKey || event.metaKey || !isMeant(event) || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key](subject());
  });
}

function choose(what, value) {
  document.querySelector(`input[name=${what}][value=${value}]`).checked = true;
  graph[what] = value;
  showGraph();
}

/** Undoes the innermost thing: the search where it is typed, the selection in the timeline, else the zoom. */
function onEscape(event) {
  if (event.target === $('search') && $('search').value !== '') {
    $('search').value = '';
    search('');
    remember();
  } else if (event.target === $('timeline') && selected !== null) {
    timeline.anchor = null;
    selectAndRemember(null);
  } else {
    zoomAndRemember(graph.root);
  }
}

function wireGraph() {
  const flame = $('flame');
  for (const radio of document.querySelectorAll('input[name=view], input[name=direction]')) {
    radio.addEventListener('change', () => {
      choose(radio.name, radio.value);
      remember(true);
    });
  }
  $('search').addEventListener('input', () => {
    search($('search').value);
    remember();
  });
  $('reset').addEventListener('click', () => zoomAndRemember(graph.root));
  flame.addEventListener('scroll', calmly(paint));
  flame.addEventListener('pointermove', event => hover(nodeAt(event)));
  flame.addEventListener('pointerleave', () => hover(null));
  flame.addEventListener('click', event => {
    const node = nodeAt(event);
    if (node !== null) zoomAndRemember(node);
  });
  onKeys(flame, GRAPH_KEYS, () => graph.focused);
  addEventListener('resize', calmly(drawGraph));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', calmly(paint));
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') onEscape(event);
    if (event.key !== '/' || event.target === $('search') || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    $('search').select();
  });
}

/** Paper shows the graph without scrolling, by day. */
function wirePrinting() {
  const root = document.documentElement;
  addEventListener('beforeprint', () => {
    root.classList.add('printed');
    $('flame').querySelector('.paper').replaceChildren();
    paintPaper();
  });
  addEventListener('afterprint', () => {
    root.classList.remove('printed');
    $('flame').querySelector('.paper').replaceChildren();
    drawGraph();
  });
}

/** Calls and memories are known without samples, and all that is shown then. */
function showNoSamples() {
  const main = document.querySelector('main');
  const isKnown = tables.all.length > 0;
  const parts = '.hottest, .graph, .timeline, .choice:has([name=view], [name=direction]), #matched';
  for (const part of main.querySelectorAll(isKnown ? parts : ':scope > *')) part.hidden = true;
  $('search').placeholder = 'Search tables ( / )';
  main.before(el('p', { class: 'empty' }, 'No samples: the run was shorter than an interval, or nothing of it ran in the '
    + `component. Try a shorter interval.${isKnown ? ' What was traced is known all the same.' : ''}`));
}

function start() {
  showSummary();
  if (data.views.line === null) $('lines').remove();
  makeTables();
  if (hasSamples) showTimeline();
  else showNoSamples();
  if (tables.all.length === 0) return;
  recall();
  wireGraph();
  if (hasSamples) {
    wireTimeline();
    wirePrinting();
  }
  // The browser goes back, or somebody edits the address.
  addEventListener('hashchange', recall);
}

start();
