// Call trees

const byTotal = (a, b) => b.total - a.total;

/** The nodes of a view, linked, the root first. */
function readTree({ parent, name, library, kind }) {
  const nodes = parent.map((_, at) => ({
    at, name: name[at], library: library[at], kind: kind[at], self: 0, total: 0,
    parent: null, depth: 0, children: [], callers: null,
  }));
  for (let at = 1; at < nodes.length; at++) {
    const node = nodes[at];
    node.parent = nodes[parent[at]];
    node.depth = node.parent.depth + 1;
    node.parent.children.push(node);
  }
  return nodes;
}

/** Gives nodes the time of the selected part, and sums it up. */
function weigh(nodes, own) {
  nodes.forEach((node, at) => {
    node.self = own[at];
    node.total = own[at];
  });
  for (let at = nodes.length - 1; at > 0; at--) nodes[at].parent.total += nodes[at].total;
  for (const node of nodes) node.children.sort(byTotal);
}

/**
 * The root of the leaf-first tree: below it are the frames with own time, below these who called them, and so on.
 * `callers` are the frames of the root-first tree that the children of a node are merged from, with their times.
 * Children are made when they are asked for, because all of them would be as many as nodes times their depth.
 */
function invert(nodes) {
  const ends = nodes.slice(1).filter(node => node.self > 0);
  return { ...nodes[0], children: null, callers: new Map(ends.map(node => [node, node.self])) };
}

function childrenOf(node) {
  if (node.children === null) {
    node.children = mergeCallers(node);
    node.callers = null;
  }
  return node.children;
}

/** What is merged into one node: frames that look the same. */
const keyOf = ({ name, library, kind }) => (name * (strings.length + 1) + library + 1) * data.kinds.length + kind;

function mergeCallers(node) {
  const children = new Map();
  for (const [frame, micros] of node.callers) {
    const key = keyOf(frame);
    if (!children.has(key)) {
      const { name, library, kind } = frame;
      const callers = new Map();
      const depth = node.depth + 1;
      children.set(key, { name, library, kind, self: 0, total: 0, parent: node, depth, children: null, callers });
    }
    const child = children.get(key);
    child.total += micros;
    // What a caller called is not its own time.
    if (node.parent === null) child.self += micros;
    const caller = frame.parent;
    if (caller.parent !== null) child.callers.set(caller, (child.callers.get(caller) ?? 0) + micros);
  }
  return [...children.values()].sort(byTotal);
}

// Flame graph: what is shown

const ROW = 18;
/** Frames narrower than this are drawn as one, in pixels. */
const NARROWEST = 1;
/** Frames narrower than this have no name, in pixels. */
const NAMED = 22;

/** By view: its nodes, the roots by direction, and the times by step, once they are needed. */
const trees = {};
const graph = {
  view: data.first_view, direction: 'root',
  nodes: [], root: null, zoomed: null, focused: null, hovered: null,
  // Which strings contain what is searched, or null without a search; and their time.
  hits: null, matched: 0,
  // Rows of boxes, from the root down; and the box of each node that has one.
  rows: [], boxes: new Map(),
};

/** The tree of a view, of the selected part. */
function treeOf(view) {
  if (!Object.hasOwn(trees, view)) {
    trees[view] = { nodes: readTree(data.views[view]), series: null, weighed: undefined };
  }
  const tree = trees[view];
  if (tree.weighed !== selected) {
    const { self: own, by_step: bySteps } = data.views[view];
    if (selected !== null) tree.series ??= readSeries(bySteps);
    weigh(tree.nodes, selected === null ? own : selectedTimes(tree.series, own.length));
    Object.assign(tree, { weighed: selected, root: tree.nodes[0], leaf: invert(tree.nodes) });
  }
  return tree;
}

/** Shows the view and direction that are chosen, zoomed into the node of this path. */
function showGraph(path = '') {
  const tree = treeOf(graph.view);
  graph.nodes = tree.nodes;
  graph.root = tree[graph.direction];
  const used = new Set(graph.nodes.slice(1).map(node => node.kind));
  const kinds = data.kinds.filter((kind, at) => used.has(at) && kind !== 'other');
  showLegend($('flame-legend'), kinds.map(kind => [kind, kind]));
  measureMatches();
  zoomTo(nodeOfPath(path));
}

/** The longest path that an address has, in characters. */
const MAX_PATH = 10_000;

/** A short text that finds a node again in the same page; or the last frame before it that is found by so short a text. */
function pathOf(node) {
  if (node.parent === null) return '';
  if (graph.direction === 'root') return String(node.at);
  const path = pathTo(node).slice(1).map(keyOf).join('.');
  return path.length <= MAX_PATH ? path : path.slice(0, path.lastIndexOf('.', MAX_PATH));
}

/** The node of such a text, as far as it leads to one: an address may come from anywhere. */
function nodeOfPath(path) {
  if (path === '' || path.length > MAX_PATH) return graph.root;
  if (graph.direction === 'root') return graph.nodes[/^\d{1,9}$/.test(path) ? Number(path) : 0] ?? graph.root;
  let node = graph.root;
  for (const key of path.split('.')) {
    const child = childrenOf(node).find(each => String(keyOf(each)) === key);
    if (child === undefined) break;
    node = child;
  }
  return node;
}

/** What a reader does; the address follows. */
function zoomAndRemember(node) {
  zoomTo(node);
  remember(true);
}

function zoomTo(node) {
  graph.zoomed = node;
  graph.focused = node;
  graph.hovered = null;
  showCrumbs();
  drawGraph();
  // The parent stays in sight, as the way back.
  $('flame').scrollTop = Math.max(node.depth - 1, 0) * ROW;
  describe(node);
}

function pathTo(node) {
  const path = [];
  for (let at = node; at !== null; at = at.parent) path.push(at);
  return path.reverse();
}

function showCrumbs() {
  const path = pathTo(graph.zoomed);
  const shown = path.length > 6 ? [path[0], null, ...path.slice(-4)] : path;
  $('crumbs').replaceChildren(...shown.map(node => el('li', {}, node === null ? '…' : crumb(node))));
}

function crumb(node) {
  const name = strings[node.name];
  const element = button({ class: 'name', title: name }, () => {
    zoomAndRemember(node);
    $('flame').focus({ preventScroll: true });
  }, name);
  if (node === graph.zoomed) element.setAttribute('aria-current', 'true');
  return element;
}

// Flame graph: search

const isHit = node => graph.hits[node.name] || graph.hits[node.library];

/** What is searched, in frames and rows; shows nothing yet. */
function setSearch(text) {
  const wanted = text.trim().toLowerCase();
  graph.hits = wanted === '' ? null : folded.map(string => string.includes(wanted));
  tables.wanted = wanted;
  for (const table of tables.all) table.shown = PAGE;
}

function search(text) {
  setSearch(text);
  measureMatches();
  drawGraph();
  showHottest();
  showTable();
}

function findInGraph(view, name) {
  if (graph.view !== view) choose('view', view);
  $('search').value = name;
  search(name);
  remember(true);
  $('flame-heading').scrollIntoView({ block: 'nearest' });
  $('search').focus({ preventScroll: true });
}

/** Time is matched once, however many frames of its stack are; the same in either direction. */
function measureMatches() {
  const { nodes, hits } = graph;
  graph.matched = 0;
  $('matched').textContent = '';
  if (hits === null || nodes.length === 0) return;
  const covered = new Set();
  for (const node of nodes) {
    if (!isHit(node) && !covered.has(node.parent)) continue;
    covered.add(node);
    graph.matched += node.self;
  }
  $('matched').textContent = `${percent(graph.matched, nodes[0].total)} of time matched`;
}

// Flame graph: drawing

/** Gives boxes to the zoomed frame, what is above it, and what is below it and wide enough to be seen. */
function layOut(width) {
  graph.rows = [];
  graph.boxes = new Map();
  const scale = graph.zoomed.total > 0 ? width / graph.zoomed.total : 0;
  const stack = pathTo(graph.zoomed).map(node => ({ node, depth: node.depth, x: 0, width })).reverse();
  while (stack.length > 0) {
    const box = stack.pop();
    (graph.rows[box.depth] ??= []).push(box);
    if (box.node === null) continue;
    graph.boxes.set(box.node, box);
    if (box.depth >= graph.zoomed.depth) stack.push(...boxesBelow(box, scale).reverse());
  }
}

function boxesBelow({ node, depth, x, width }, scale) {
  const boxes = [];
  const end = x + width - node.self * scale;
  for (const child of childrenOf(node)) {
    const box = { node: child, depth: depth + 1, x, width: child.total * scale };
    if (box.width < NARROWEST) {
      // Children are sorted: all that follow are as narrow. They are one box, which is no frame.
      if (end - x >= NARROWEST && child.total > 0) boxes.push({ ...box, node: null, width: end - x });
      break;
    }
    boxes.push(box);
    x += box.width;
  }
  return boxes;
}

function drawGraph() {
  const flame = $('flame');
  const sheet = flame.firstElementChild;
  layOut(sheet.clientWidth);
  sheet.style.height = `${graph.rows.length * ROW}px`;
  Object.assign(flame.dataset, {
    root: strings[graph.zoomed.name], frames: graph.boxes.size, view: graph.view, direction: graph.direction,
  });
  mark('focused');
  mark('hovered');
  paint();
}

/** Paints the rows in sight. */
function paint() {
  const canvas = $('flame').querySelector('canvas');
  const { clientHeight: height, scrollTop } = $('flame');
  paintRows(canvas, canvas.parentElement.clientWidth, height, scrollTop, devicePixelRatio);
}

function paintRows(canvas, width, height, top, ratio) {
  const context = sharpContext(canvas, width, height, ratio);
  const look = readLook(context);
  context.translate(0, -top);
  const last = Math.ceil((top + height) / ROW);
  for (const row of graph.rows.slice(Math.floor(top / ROW), last)) {
    for (const box of row ?? []) paintBox(context, look, box);
  }
}

/** Paper has all rows, not only those in sight: in slices, because a page can end between two of them. */
function paintPaper() {
  const [width, rowsInSlice, most] = [1000, 12, 600];
  layOut(width);
  const paper = $('flame').querySelector('.paper');
  for (let at = 0; at < Math.min(graph.rows.length, most); at += rowsInSlice) {
    const canvas = el('canvas');
    const rows = Math.min(graph.rows.length - at, rowsInSlice);
    paintRows(canvas, width, rows * ROW, at * ROW, 2);
    paper.append(canvas);
  }
  const leftOut = graph.rows.length - most;
  if (leftOut > 0) paper.append(el('p', {}, `${number(leftOut)} more rows, deeper than these ${most}, are not on paper.`));
}

/** A cleared context in CSS pixels that draws in those of the device. */
function sharpContext(canvas, width, height, ratio) {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  return context;
}

function readLook(context) {
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue(`--${name}`).trim();
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = 'middle';
  const fills = data.kinds.map(kind =>
    (kind === 'boundary' ? hatching(context, colour('boundary'), colour('boundary-stripe')) : colour(kind)));
  return { fills, ink: colour('ink'), muted: colour('muted'), line: colour('line'), onLayer: colour('on-layer') };
}

function hatching(context, ground, stripe) {
  const tile = el('canvas', { width: 6, height: 6 });
  const draw = tile.getContext('2d');
  draw.fillStyle = ground;
  draw.fillRect(0, 0, 6, 6);
  draw.strokeStyle = stripe;
  draw.beginPath();
  for (const x of [-6, 0, 6]) {
    draw.moveTo(x, 6);
    draw.lineTo(x + 6, 0);
  }
  draw.stroke();
  return context.createPattern(tile, 'repeat');
}

function paintBox(context, look, { node, depth, x, width }) {
  const y = depth * ROW;
  const inner = width > 3 ? width - 1 : width;
  if (node === null) {
    context.globalAlpha = 1;
    context.fillStyle = look.line;
    context.fillRect(x, y, inner, ROW - 1);
    return;
  }
  const hit = graph.hits !== null && isHit(node);
  const dimmed = graph.hits !== null && !hit;
  const above = depth < graph.zoomed.depth;
  // Shades tell neighbours of a layer apart; frames above the zoomed one are context.
  const shade = 1 - 0.09 * (node.name % 3);
  context.globalAlpha = dimmed ? 0.22 : above ? 0.5 * shade : shade;
  context.fillStyle = node.parent === null ? look.line : look.fills[node.kind];
  context.fillRect(x, y, inner, ROW - 1);
  context.globalAlpha = 1;
  if (hit && width > 3) {
    context.strokeStyle = look.ink;
    context.strokeRect(x + 0.5, y + 0.5, inner - 1, ROW - 2);
  }
  if (width < NAMED) return;
  context.fillStyle = dimmed ? look.muted : above || node.parent === null ? look.ink : look.onLayer;
  context.fillText(clip(context, strings[node.name], inner - 8), x + 4, y + ROW / 2);
}

/** The start of a name that fits. */
function clip(context, name, width) {
  // No letter is narrower than two pixels, and measuring a name of a megabyte takes its time.
  let fits = name.slice(0, Math.ceil(width / 2));
  if (fits === name && context.measureText(name).width <= width) return name;
  let low = 0;
  let high = fits.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (context.measureText(`${name.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 0 ? `${name.slice(0, low)}…` : '';
}

// Flame graph: pointing and moving

/** Puts the frame of the `hovered` or `focused` box around it. */
function mark(which) {
  const box = graph.boxes.get(graph[which]);
  const { style } = $(which);
  $(which).hidden = box === undefined;
  if (box === undefined) return;
  style.left = `${box.x}px`;
  style.top = `${box.depth * ROW}px`;
  style.width = `${Math.max(box.width - 1, 2)}px`;
  style.height = `${ROW - 1}px`;
}

function describe(node) {
  const whole = graph.root.total;
  const share = micros => `${time(micros / 1000)} (${percent(micros, whole)})`;
  const kind = data.kinds[node.kind];
  const library = node.library < 0 ? '' : `${strings[node.library]} · `;
  const name = el('b', { class: 'name' }, strings[node.name]);
  // The root is all the layers, and has none itself.
  const layer = node.parent === null ? [] : [' ', el('span', { class: 'name' }, `${library}${kind}`)];
  $('details').replaceChildren(
    el('div', {}, ...(node.parent === null ? [] : [swatch(kind)]), name, ...layer), ' ',
    el('div', {}, `total ${share(node.total)}, self ${share(node.self)}`),
  );
}

function nodeAt(event) {
  const { left, top } = $('flame').firstElementChild.getBoundingClientRect();
  const x = event.clientX - left;
  const row = graph.rows[Math.floor((event.clientY - top) / ROW)] ?? [];
  return row.find(box => x >= box.x && x < box.x + box.width)?.node ?? null;
}

function hover(node) {
  if (node === graph.hovered) return;
  graph.hovered = node;
  mark('hovered');
  describe(node ?? graph.focused);
}

function focusOn(node) {
  if (!graph.boxes.has(node)) return;
  graph.focused = node;
  mark('focused');
  $('focused').scrollIntoView({ block: 'nearest' });
  describe(node);
}

function neighbour(node, step) {
  const row = graph.rows[node.depth];
  let at = row.indexOf(graph.boxes.get(node)) + step;
  while (row[at]?.node === null) at += step;
  return row[at]?.node;
}

const GRAPH_KEYS = {
  ArrowUp: node => focusOn(node.parent),
  ArrowDown: node => focusOn(childrenOf(node).find(child => graph.boxes.has(child))),
  ArrowLeft: node => focusOn(neighbour(node, -1)),
  ArrowRight: node => focusOn(neighbour(node, 1)),
  Home: () => focusOn(graph.root),
  Enter: zoomAndRemember,
  ' ': zoomAndRemember,
};
