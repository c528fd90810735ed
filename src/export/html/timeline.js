// Timeline

const LAYERS = ['guest', 'adapter', 'trampoline', 'host', 'blocked', 'preempted', 'script'];
const timeline = {
  ...data.timeline,
  bins: Math.max(0, ...data.timeline.threads.flatMap(thread => thread.layers.map(layer => layer.length))),
  lanes: [],
  // Where the cursor is.
  thread: 0, bin: 0,
  // The step at which a selection began, while it is made.
  anchor: null,
};
const binsInStep = timeline.bins / data.steps;

function showTimeline() {
  const { threads, bin_ms: bin, bins } = timeline;
  $('timeline-lead').textContent = 'What each thread did when, by layer. A lane is as high as the whole of '
    + `a ${time(bin)} step; where it is empty, nothing was sampled. Drag over it to see a part of the time alone.`
    + (timeline.threads_left_out > 0 ? ` ${number(timeline.threads_left_out)} more threads are not shown.` : '');
  const isUsed = (_, at) => threads.some(({ layers }) => layers[at].some(micros => micros > 0));
  showLegend($('timeline-legend'), LAYERS.filter(isUsed).map(layer => [layer, layer]));
  $('timeline').style.setProperty('--lane', `${clamp(240 / threads.length, 22, 60)}px`);
  timeline.lanes = threads.map(({ name, layers }) => {
    const plot = svg('svg', { viewBox: `0 0 ${bins} 1`, preserveAspectRatio: 'none', 'aria-hidden': true });
    plot.append(...stackAreas(layers));
    return el('div', { class: 'lane' }, el('span', { class: 'name', title: printable(name) }, printable(name)), plot);
  });
  $('timeline').querySelector('.lanes').append(...timeline.lanes,
    el('div', { class: 'selection', hidden: '' }), el('div', { class: 'cursor' }));
  showAxis();
  pointAt(0, 0);
}

/** One area for each layer, stacked from the bottom, as steps. */
function stackAreas(layers) {
  const { bin_ms: bin, bins } = timeline;
  let base = new Array(bins).fill(1);
  return layers.map((layer, at) => {
    const top = base.map((y, step) => y - (layer[step] ?? 0) / (1000 * bin));
    const forth = top.map((y, step) => `V${y.toFixed(3)}H${step + 1}`);
    const back = base.map((y, step) => `V${y.toFixed(3)}H${step}`).reverse();
    base = top;
    return svg('path', { class: LAYERS[at], d: `M0 1${forth.join('')}${back.join('')}Z` });
  });
}

function showAxis() {
  const axis = $('timeline').querySelector('.axis');
  const whole = timeline.bins * timeline.bin_ms;
  const step = roundStep((whole * 90) / Math.max(axis.clientWidth, 90));
  const ticks = Array.from({ length: Math.floor(whole / step) + 1 }, (_, at) => at * step);
  const [unit, size] = whole < 10_000 ? ['ms', 1] : ['s', 1000];
  axis.replaceChildren(...ticks.map(ms => {
    const tick = el('span', {}, `${Number((ms / size).toPrecision(6))} ${unit}`);
    tick.style.left = `${(100 * ms) / whole}%`;
    return tick;
  }));
}

/** The next 1, 2 or 5 times a power of ten. */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find(factor => factor * power >= least);
}

function pointAt(thread, bin) {
  timeline.thread = clamp(thread, 0, timeline.threads.length - 1);
  timeline.bin = clamp(bin, 0, timeline.bins - 1);
  timeline.lanes.forEach((lane, at) => lane.toggleAttribute('aria-current', at === timeline.thread));
  $('timeline').style.setProperty('--at', (timeline.bin + 0.5) / timeline.bins);
  showMoment();
}

function showMoment() {
  const { name, layers } = timeline.threads[timeline.thread];
  const values = LAYERS.map((layer, at) => [layer, (layers[at]?.[timeline.bin] ?? 0) / 1000])
    .filter(([, ms]) => ms > 0);
  $('moment').replaceChildren(
    el('b', { class: 'name' }, printable(name)), ` at ${time(timeline.bin * timeline.bin_ms)}`,
    ...values.map(([layer, ms]) => el('span', {}, swatch(layer), `${layer} ${time(ms)}`)),
    values.length === 0 ? el('span', {}, 'nothing sampled') : '',
  );
}

/** The bin of an event; `null` beside the lanes, unless a selection is being made. */
function binAt(event) {
  const lane = event.target.closest?.('.lane') ?? (timeline.anchor === null ? null : timeline.lanes[timeline.thread]);
  if (lane === null) return null;
  const { left, width } = lane.querySelector('svg').getBoundingClientRect();
  const bin = Math.floor(((event.clientX - left) / width) * timeline.bins);
  return bin < 0 && timeline.anchor === null ? null : [timeline.lanes.indexOf(lane), clamp(bin, 0, timeline.bins - 1)];
}

const stepOf = bin => Math.floor(bin / binsInStep);

/** From the anchor to the cursor, both included. */
function selectionToCursor() {
  const step = stepOf(timeline.bin);
  return [Math.min(timeline.anchor, step), Math.max(timeline.anchor, step) + 1];
}

function outline(range) {
  const overlay = $('timeline').querySelector('.selection');
  overlay.hidden = range === null;
  if (range === null) return;
  overlay.style.setProperty('--from', range[0] / data.steps);
  overlay.style.setProperty('--to', range[1] / data.steps);
}

/** Shows the steps alone in graph and tables, the graph zoomed into the node of this path. */
function select(range, path = pathOf(graph.zoomed)) {
  selected = range;
  const length = (timeline.bins * timeline.bin_ms) / data.steps;
  if (hasSamples) outline(range);
  showGraph(path);
  wholeTime = range === null ? 1000 * data.wall_ms : graph.root.total;
  showHottest();
  showTable();
  $('selection').hidden = range === null;
  if (range !== null) {
    $('selected').textContent = `Only ${time(range[0] * length)} to ${time(range[1] * length)}: `
      + `${time(wholeTime / 1000)}, ${percent(wholeTime, 1000 * data.wall_ms)} of the time sampled`;
  }
}

function selectAndRemember(range) {
  select(range);
  remember(true);
}

const moveBy = (threads, bins) => () => pointAt(timeline.thread + threads, timeline.bin + bins);
const TIMELINE_KEYS = {
  ArrowLeft: moveBy(0, -1),
  ArrowRight: moveBy(0, 1),
  ArrowUp: moveBy(-1, 0),
  ArrowDown: moveBy(1, 0),
  PageUp: moveBy(0, -20),
  PageDown: moveBy(0, 20),
  Home: moveBy(0, -Infinity),
  End: moveBy(0, Infinity),
};

/** Moves the cursor by steps, and selects what it passes. */
const extendBy = steps => () => {
  if (selected === null || timeline.anchor === null) timeline.anchor = stepOf(timeline.bin);
  else pointAt(timeline.thread, (stepOf(timeline.bin) + steps) * binsInStep);
  select(selectionToCursor());
  remember();
};
const SELECTION_KEYS = { ArrowLeft: extendBy(-1), ArrowRight: extendBy(1) };

function wireTimeline() {
  const lanes = $('timeline').querySelector('.lanes');
  let isDragging = false;
  let start = 0;
  lanes.addEventListener('pointerdown', event => {
    const at = binAt(event);
    if (at === null || event.button !== 0) return;
    pointAt(...at);
    isDragging = true;
    start = event.clientX;
    timeline.anchor = stepOf(timeline.bin);
    lanes.setPointerCapture(event.pointerId);
  });
  lanes.addEventListener('pointermove', event => {
    const at = isDragging ? [timeline.thread, binAt(event)[1]] : binAt(event);
    if (at === null) return;
    pointAt(...at);
    if (isDragging && Math.abs(event.clientX - start) > 3) outline(selectionToCursor());
  });
  lanes.addEventListener('pointerup', event => {
    // A click is no selection.
    const isClick = !isDragging || Math.abs(event.clientX - start) <= 3;
    isDragging = false;
    if (!isClick) selectAndRemember(selectionToCursor());
    timeline.anchor = null;
  });
  lanes.addEventListener('pointercancel', () => {
    isDragging = false;
    timeline.anchor = null;
    outline(selected);
  });
  onKeys($('timeline'), TIMELINE_KEYS, undefined, event => !event.shiftKey);
  onKeys($('timeline'), SELECTION_KEYS, undefined, event => event.shiftKey);
  $('unselect').addEventListener('click', () => selectAndRemember(null));
  addEventListener('resize', calmly(showAxis));
}
