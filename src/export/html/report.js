'use strict';

(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = id => document.getElementById(id);

  // Names

  // What the terminal summary escapes as well: characters that are invisible, or reorder what stands around them.
  const UNSAFE = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
  const escape = char => `\\u{${char.codePointAt(0).toString(16)}}`;
  const printable = name => (name === '' ? '(no name)' : name.replace(UNSAFE, escape));

  const strings = data.strings.map(printable);
  const folded = strings.map(string => string.toLowerCase());

  /** Makes an element. Guests choose names, so what is not an element becomes text, and never markup. */
  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function svg(tag, attributes) {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  const swatch = kind => el('i', { class: `swatch ${kind}` });

  function showLegend(list, kinds) {
    list.replaceChildren(...kinds.map(([kind, label]) => el('li', {}, swatch(kind), label)));
  }

  function showEmpty(id, reason) {
    const section = $(id).closest('section');
    section.classList.add('is-empty');
    section.querySelector('.empty').textContent = reason;
  }

  // Numbers

  /** About three digits, whatever the size. */
  function digits(value) {
    if (value === 0) return '0';
    if (value < 0.0005) return '<0.001';
    return value.toFixed(value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0);
  }

  const time = ms => (ms < 10_000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`);

  function percent(part, whole) {
    const share = whole > 0 ? (100 * part) / whole : 0;
    return share > 0 && share < 0.05 ? '<0.1%' : `${share.toFixed(1)}%`;
  }

  const byTotal = (a, b) => b.total - a.total;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // Summary

  function showSummary() {
    const { taken, kept, lost } = data.samples;
    const reasons = Object.entries(lost).filter(([, count]) => count > 0);
    const facts = [
      ['Started', data.started_at.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC')],
      ['Elapsed', time(data.elapsed_ms)],
      ['Wall time sampled', time(data.wall_ms)],
      ['On the CPU', time(data.cpu_ms), `(${percent(data.cpu_ms, data.wall_ms)})`],
      ...(data.preempted_ms === null ? []
        : [['Waiting for a CPU', time(data.preempted_ms), `(${percent(data.preempted_ms, data.wall_ms)})`]]),
      ...(data.profiler_ms > 0 ? [['Profiler, in no row', time(data.profiler_ms)]] : []),
      ['Samples taken', taken],
      ['Kept', kept],
      ['Lost', reasons.reduce((sum, [, count]) => sum + count, 0), ...reasons.map(([why, count]) => `${count} ${why}`)],
      ['Sampler', data.sampler],
      ['Interval', `${data.interval_ms} ms`],
    ];
    $('tool').textContent = `witprof ${data.version}`;
    $('name').textContent = printable(data.name);
    $('summary').append(...facts.map(([term, fact, ...notes]) => el('div', {},
      el('dt', {}, term),
      el('dd', {}, `${fact} `, el('small', {}, notes.join(', '))))));
  }

  // Interfaces

  // Not every system tells how long a thread waits for a CPU.
  const knowsPreempted = data.preempted_ms !== null;
  const PARTS = [
    ['guest', 'guest', row => row.guest_ms],
    ['host', 'host', row => row.host_ms],
    ['blocked', 'blocked', row => row.blocked_ms],
    ['preempted', 'preempted', row => row.preempted_ms ?? 0],
    ['boundary', 'boundary', row => row.boundary_ms],
  ];
  const spent = row => PARTS.reduce((sum, [, , part]) => sum + part(row), 0);
  const COLUMNS = [
    ['name', 'Interface', row => row.name],
    ['spent', 'Self and boundary', spent],
    ['self', 'Self', row => row.self_ms],
    ['boundary', 'Boundary', row => row.boundary_ms],
    ['blocked', 'Blocked', row => row.blocked_ms],
    ...(knowsPreempted ? [['preempted', 'Preempted', row => row.preempted_ms]] : []),
    ['total', 'Total', row => row.total_ms],
    ['share', 'Total, %', row => row.total_ms],
  ];
  // Only if calls were traced; of some interfaces only a lower bound is known, of others nothing.
  const hasCalls = data.rows.some(row => row.calls !== null || row.calls_at_least !== null);
  if (hasCalls) COLUMNS.push(['calls', 'Calls', row => row.calls ?? row.calls_at_least ?? -1]);
  const numberOfCalls = row => row.calls !== null ? row.calls.toLocaleString('en')
    : row.calls_at_least !== null ? `≥ ${row.calls_at_least.toLocaleString('en')}` : '';
  const HINTS = {
    spent: 'What time was spent on; these add up to the wall time',
    self: 'Own time in guest or host, waiting included',
    boundary: 'What crossing the interface costs, and its share of the wall time',
    blocked: 'The part of self in which it waited for something other than a CPU',
    preempted: 'The part of self in which it was ready to run and had no CPU',
    total: 'With all that was called from inside',
    share: 'Total, as a share of the wall time',
    calls: 'How many calls have returned',
  };

  const FEW = 15;

  const table = {
    sorted: { column: 'spent', descending: true },
    // A few functions are shown at once: they say which call is expensive.
    open: new Set(data.rows.reduce((sum, row) => sum + row.functions.length, 0) <= FEW ? data.rows : []),
    longest: Math.max(...data.rows.map(spent)),
  };

  function sortRows(rows) {
    const value = COLUMNS.find(([id]) => id === table.sorted.column)[2];
    const ascending = (a, b) => (typeof a === 'string' ? a.localeCompare(b, 'en') : a - b);
    const sign = table.sorted.descending ? -1 : 1;
    return [...rows].sort((a, b) => sign * ascending(value(a), value(b)));
  }

  function sortBy(column) {
    const { sorted } = table;
    // Names are looked up from A, times from the longest.
    sorted.descending = sorted.column === column ? !sorted.descending : column !== 'name';
    sorted.column = column;
    showRows();
  }

  function showHeadings() {
    $('interfaces').tHead.rows[0].append(...COLUMNS.map(([id, label]) => {
      const button = el('button', { type: 'button', title: HINTS[id] ?? '' }, label);
      button.addEventListener('click', () => sortBy(id));
      return el('th', { scope: 'col', 'data-column': id }, button);
    }));
  }

  function showRows() {
    const { column, descending } = table.sorted;
    for (const heading of $('interfaces').tHead.rows[0].cells) {
      if (heading.dataset.column !== column) heading.removeAttribute('aria-sort');
      else heading.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
    }
    for (const body of [...$('interfaces').tBodies]) body.remove();
    $('interfaces').append(...sortRows(data.rows).map(interfaceBody));
  }

  function interfaceBody(row) {
    const name = printable(row.name);
    const fold = el('button', { type: 'button', class: 'fold', 'aria-label': `Functions of ${name}` });
    const body = el('tbody', {}, tableRow(row, 'interface-row', name, fold));
    fold.hidden = row.functions.length === 0;
    fold.addEventListener('click', () => {
      if (!table.open.delete(row)) table.open.add(row);
      showFunctions(row, body, fold);
    });
    showFunctions(row, body, fold);
    return body;
  }

  /** Functions get rows only while they are unfolded: all of them would be thousands. */
  function showFunctions(row, body, fold) {
    const open = table.open.has(row);
    fold.setAttribute('aria-expanded', open);
    const functions = open ? sortRows(row.functions) : [];
    // In the graph, a function has its interface behind its name.
    const inGraph = each => `${printable(each.name)} [${printable(row.name)}]`;
    body.replaceChildren(body.rows[0], ...functions.map(each => tableRow(each, 'function', inGraph(each))));
  }

  function tableRow(row, className, inGraph, ...before) {
    const name = printable(row.name);
    const find = el('button', { type: 'button', class: 'find name', title: name }, name);
    find.addEventListener('click', () => findInGraph(inGraph));
    const boundary = `${time(row.boundary_ms)} (${percent(row.boundary_ms, data.wall_ms)})`;
    const preempted = knowsPreempted ? [time(row.preempted_ms)] : [];
    const times = [time(row.self_ms), boundary, time(row.blocked_ms), ...preempted, time(row.total_ms)];
    const calls = hasCalls ? [numberOfCalls(row)] : [];
    return el('tr', { class: className, 'data-name': name },
      el('td', {}, el('div', { class: 'cell' }, ...before, find)),
      el('td', { class: 'bar' }, bar(row)),
      ...[...times, percent(row.total_ms, data.wall_ms), ...calls].map(text => el('td', {}, text)));
  }

  function bar(row) {
    const parts = PARTS.map(([kind, label, part]) => [kind, `${label} ${time(part(row))}`, part(row)])
      .filter(([, , ms]) => ms > 0);
    const label = parts.map(([, text]) => text).join(', ');
    return el('div', { class: 'stack', role: 'img', 'aria-label': label, title: label },
      ...parts.map(([kind, , ms]) => {
        const part = el('span', { class: kind });
        part.style.width = `${(100 * ms) / table.longest}%`;
        return part;
      }));
  }

  function findInGraph(name) {
    // Interfaces are frames in this view only.
    if (graph.view !== 'interface') choose('view', 'interface');
    $('search').value = name;
    search(name);
    $('flame-heading').scrollIntoView();
    $('search').focus({ preventScroll: true });
  }

  // Call trees

  /** The nodes of a view, linked and summed up, the root first. */
  function readTree({ parent, name, library, kind, self }) {
    const nodes = parent.map((_, at) => ({
      name: name[at], library: library[at], kind: kind[at], self: self[at], total: self[at],
      parent: null, depth: 0, children: [], callers: null,
    }));
    for (let at = nodes.length - 1; at > 0; at--) nodes[parent[at]].total += nodes[at].total;
    for (let at = 1; at < nodes.length; at++) {
      const node = nodes[at];
      node.parent = nodes[parent[at]];
      node.depth = node.parent.depth + 1;
      node.parent.children.push(node);
    }
    for (const node of nodes) node.children.sort(byTotal);
    return nodes;
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

  function mergeCallers(node) {
    const children = new Map();
    for (const [frame, micros] of node.callers) {
      const key = (frame.name * (strings.length + 1) + frame.library + 1) * data.kinds.length + frame.kind;
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

  const trees = {};
  const graph = {
    view: 'interface', direction: 'root',
    nodes: [], root: null, zoomed: null, focused: null, hovered: null,
    // Which strings contain what is searched, or null without a search; and their time.
    hits: null, matched: 0,
    // Rows of boxes, from the root down; and the box of each node that has one.
    rows: [], boxes: new Map(),
  };

  /** The trees of a view, by direction, and the nodes both are made from. */
  function treesOf(view) {
    if (!Object.hasOwn(trees, view)) {
      const nodes = readTree(data.views[view]);
      trees[view] = { nodes, root: nodes[0], leaf: invert(nodes) };
    }
    return trees[view];
  }

  function showGraph() {
    const tree = treesOf(graph.view);
    graph.nodes = tree.nodes;
    graph.root = tree[graph.direction];
    const used = new Set(graph.nodes.slice(1).map(node => node.kind));
    showLegend($('flame-legend'), data.kinds.filter((kind, at) => used.has(at) && kind !== 'other').map(kind => [kind, kind]));
    measureMatches();
    zoomTo(graph.root);
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
    const button = el('button', { type: 'button', class: 'name', title: strings[node.name] }, strings[node.name]);
    if (node === graph.zoomed) button.setAttribute('aria-current', 'true');
    button.addEventListener('click', () => {
      zoomTo(node);
      $('flame').focus({ preventScroll: true });
    });
    return button;
  }

  // Flame graph: search

  const isHit = node => graph.hits[node.name] || graph.hits[node.library];

  function search(text) {
    const wanted = text.trim().toLowerCase();
    graph.hits = wanted === '' ? null : folded.map(string => string.includes(wanted));
    measureMatches();
    drawGraph();
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
    const { clientHeight: height, scrollTop } = $('flame');
    const canvas = $('flame').querySelector('canvas');
    const context = sharpContext(canvas, canvas.parentElement.clientWidth, height);
    const look = readLook(context);
    context.translate(0, -scrollTop);
    const last = Math.ceil((scrollTop + height) / ROW);
    for (const row of graph.rows.slice(Math.floor(scrollTop / ROW), last)) {
      for (const box of row) paintBox(context, look, box);
    }
  }

  /** A cleared context in CSS pixels that draws in those of the device. */
  function sharpContext(canvas, width, height) {
    const ratio = devicePixelRatio;
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
    Enter: zoomTo,
    ' ': zoomTo,
  };

  // Timeline

  const LAYERS = ['guest', 'adapter', 'trampoline', 'host', 'blocked', 'preempted'];
  const timeline = {
    ...data.timeline,
    bins: Math.max(0, ...data.timeline.threads.flatMap(thread => thread.layers.map(layer => layer.length))),
    lanes: [],
    // Where the cursor is.
    thread: 0, bin: 0,
  };

  function showTimeline() {
    const { threads, bin_ms: bin, bins } = timeline;
    $('timeline-lead').textContent = 'What each thread did when, by layer. A lane is as high as the whole of '
      + `a ${time(bin)} step; where it is empty, nothing was sampled.`;
    showLegend($('timeline-legend'), LAYERS.map(layer => [layer, layer]));
    $('timeline').style.setProperty('--lane', `${clamp(320 / threads.length, 22, 90)}px`);
    timeline.lanes = threads.map(({ name, layers }) => {
      const plot = svg('svg', { viewBox: `0 0 ${bins} 1`, preserveAspectRatio: 'none', 'aria-hidden': true });
      plot.append(...stackAreas(layers));
      return el('div', { class: 'lane' }, el('span', { class: 'name', title: printable(name) }, printable(name)), plot);
    });
    $('timeline').querySelector('.lanes').append(...timeline.lanes, el('div', { class: 'cursor' }));
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

  function pointByEvent(event) {
    const lane = event.target.closest('.lane');
    if (lane === null) return;
    const { left, width } = lane.querySelector('svg').getBoundingClientRect();
    pointAt(timeline.lanes.indexOf(lane), Math.floor(((event.clientX - left) / width) * timeline.bins));
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

  function onKeys(element, keys, subject = () => undefined) {
    element.addEventListener('keydown', event => {
      if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key](subject());
    });
  }

  function choose(what, value) {
    document.querySelector(`input[name=${what}][value=${value}]`).checked = true;
    graph[what] = value;
    showGraph();
  }

  function onEscape(event) {
    if (event.target === $('search') && $('search').value !== '') {
      $('search').value = '';
      search('');
    } else {
      zoomTo(graph.root);
    }
  }

  function wireGraph() {
    const flame = $('flame');
    if (data.views.line === null) $('lines').remove();
    for (const radio of document.querySelectorAll('input[name=view], input[name=direction]')) {
      radio.addEventListener('change', () => choose(radio.name, radio.value));
    }
    $('search').addEventListener('input', () => search($('search').value));
    $('reset').addEventListener('click', () => zoomTo(graph.root));
    flame.addEventListener('scroll', calmly(paint));
    flame.addEventListener('pointermove', event => hover(nodeAt(event)));
    flame.addEventListener('pointerleave', () => hover(null));
    flame.addEventListener('click', event => {
      const node = nodeAt(event);
      if (node !== null) zoomTo(node);
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

  function wireTimeline() {
    const lanes = $('timeline').querySelector('.lanes');
    lanes.addEventListener('pointermove', pointByEvent);
    lanes.addEventListener('pointerdown', pointByEvent);
    onKeys($('timeline'), TIMELINE_KEYS);
    addEventListener('resize', calmly(showAxis));
  }

  showSummary();
  if (data.samples.kept === 0) {
    const reason = 'No samples: the run was shorter than an interval, or nothing of it ran in the component. '
      + 'Try a shorter interval.';
    for (const id of ['interfaces', 'flame', 'timeline']) showEmpty(id, reason);
    return;
  }
  if (data.rows.length > 0) {
    showLegend($('interfaces-legend'), PARTS);
    showHeadings();
    showRows();
  } else {
    showEmpty('interfaces', 'No interface was sampled.');
  }
  showGraph();
  wireGraph();
  if (timeline.bins > 0) {
    showTimeline();
    wireTimeline();
  } else {
    showEmpty('timeline', 'No timeline was recorded.');
  }
})();
