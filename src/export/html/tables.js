// Tables

const FEW = 15;
/** Rows that are shown at once: thousands would take seconds. */
const PAGE = 50;
/** Of the hottest functions, so that the graph is on the first screen as well. */
const hotRows = () => (matchMedia('screen and (max-width: 60rem)').matches ? 6 : 20);

const [GUEST, HOST, BLOCKED, PREEMPTED, BOUNDARY, TOTAL] = [0, 1, 2, 3, 4, 5];
const PARTS = ['guest', 'host', 'blocked', 'preempted', 'boundary'];
const micros = (row, ...columns) => sum(columns.map(column => row.times[column]));
const spent = row => micros(row, GUEST, HOST, BLOCKED, PREEMPTED, BOUNDARY);

const hasSamples = data.samples.kept > 0;

/** All wall-clock time, in microseconds, or that of the selected part. */
let wholeTime = 1000 * data.wall_ms;

const share = value => percent(value, wholeTime);
const numberOfCalls = ({ calls, least }) =>
  (calls !== null ? number(calls) : least !== null ? `≥ ${number(least)}` : '');

const ofTime = (id, label, hint, value, more = {}) =>
  ({ id, label, hint, value, text: row => time(value(row) / 1000), ...more });

const TIME_COLUMNS = [
  { id: 'share', label: 'Share', hint: 'Self and boundary, as a share of the time', value: spent,
    text: row => share(spent(row)), kept: true },
  ofTime('self', 'Self', 'Own time in guest or host, waiting included', row => micros(row, GUEST, HOST, BLOCKED, PREEMPTED)),
  ofTime('boundary', 'Boundary', 'What crossing the interface costs', row => micros(row, BOUNDARY), { optional: true }),
  ofTime('blocked', 'Blocked', 'The part of self in which it waited for something other than a CPU',
    row => micros(row, BLOCKED), { optional: true }),
  ofTime('preempted', 'Preempted', 'The part of self in which it was ready to run and had no CPU',
    row => micros(row, PREEMPTED), { optional: true }),
  ofTime('total', 'Total', 'With all that was called from inside', row => micros(row, TOTAL)),
  { id: 'total-share', label: 'Total, %', hint: 'Total, as a share of the time', value: row => row.times[TOTAL],
    text: row => share(row.times[TOTAL]) },
];

const CALLS_COLUMN = {
  id: 'calls', label: 'Calls', hint: 'How many calls have returned, in all of the time',
  value: row => row.calls ?? row.least ?? -1, text: numberOfCalls, kept: false,
};

/** What a list has more than once. */
function repeated(list) {
  const seen = new Set();
  return new Set(list.filter(each => seen.has(each) || !seen.add(each)));
}

/** A table of times, of which the selected part can be shown. */
function timeTable(source) {
  const { id, heading, name, detail, parent, times, calls, calls_at_least: least } = source;
  const rows = name.map((at, index) => ({
    name: strings[at], detail: detail[index] < 0 ? '' : strings[detail[index]], inGraph: strings[at], text: '',
    times: [], calls: calls[index], least: least[index], parts: [], parent: null,
  }));
  rows.forEach((row, index) => {
    if (parent[index] >= 0) {
      row.parent = rows[parent[index]];
      row.parent.parts.push(row);
      // In the graph, a function has its interface behind its name.
      row.inGraph = `${row.name} [${row.parent.name}]`;
    } else if (id === 'line') {
      row.inGraph = `${row.detail} (${row.name})`;
    }
    row.text = `${row.inGraph} ${row.detail}`.toLowerCase();
  });
  const table = {
    id, heading, view: source.view, rows: rows.filter(row => row.parent === null), columns: [],
    first: 'share', sorted: { column: 'share', descending: true }, open: new Set(), opened: new Set(), shown: PAGE,
    legend: PARTS.map(part => [part, part]),
    bar: row => PARTS.map((part, column) => [part, row.times[column], time(row.times[column] / 1000)]),
    leftOut: source.left_out.rows > 0
      ? `${number(source.left_out.rows)} more rows are not on this page, `
        + `with ${time(source.left_out.spent_ms)} of their own.` : '',
    // Names that one row alone does not have: functions of several components.
    twins: repeated(rows.map(row => row.name)),
    series: null, weighed: undefined,
    weigh() {
      if (this.weighed === selected) return;
      this.weighed = selected;
      this.series ??= selected === null ? null : readSeries(source.by_step);
      const sums = selected === null ? null : selectedTimes(this.series, rows.length * times.length);
      rows.forEach((row, index) => {
        row.times = times.map((column, at) => (sums === null ? column[index] : sums[index * times.length + at]));
      });
    },
  };
  table.weigh();
  // A few functions are shown at once: they say which call is expensive.
  if (rows.length - table.rows.length <= FEW) table.rows.forEach(row => table.open.add(row));
  const isUsed = ({ optional, value }) => !optional || rows.some(row => value(row) > 0);
  table.columns = TIME_COLUMNS.filter(isUsed);
  if (rows.some(row => numberOfCalls(row) !== '')) table.columns.push(CALLS_COLUMN);
  table.legend = table.legend.filter((_, column) => rows.some(row => row.times[column] > 0));
  return table;
}

/** A table of what is known of the whole recording only. */
function plainTable(id, heading, sortedBy, columns, rows, legend, bar, leftOut) {
  const withText = rows.map(row => {
    const name = printable(row.name);
    return { ...row, name, detail: '', inGraph: name, text: name.toLowerCase(), parts: [], parent: null };
  });
  return {
    id, heading, view: null, columns, rows: withText, legend, bar, leftOut,
    first: sortedBy, sorted: { column: sortedBy, descending: true },
    open: new Set(), opened: new Set(), shown: PAGE, isOfAllTime: true, weigh() {},
  };
}

function callsTable({ rows, rows_left_out: leftOut, unnamed }) {
  const column = (id, label, hint, of, more = {}) => ({
    id, label, hint, value: row => (row.times === null ? -1 : of(row.times) ?? -1),
    text: row => (row.times === null || of(row.times) === null ? '' : time(of(row.times))), ...more,
  });
  const columns = [
    column('wall', 'All calls', 'Wall-clock time from call to return, of all calls', times => times.wall_ms, { kept: true }),
    { id: 'count', label: 'Calls', hint: 'How many calls have returned', value: row => row.count,
      text: row => `${row.times === null ? '≥ ' : ''}${number(row.count)}` },
    column('p50', '50%', 'What half of the calls took at most', times => times.p50_ms),
    column('p90', '90%', 'What 90 of 100 calls took at most', times => times.p90_ms),
    column('p99', '99%', 'What 99 of 100 calls took at most', times => times.p99_ms),
    column('max', 'Longest', 'The longest call', times => times.max_ms),
    column('suspended', 'Suspended', 'In which the task that called was suspended', times => times.suspended_ms),
    column('cpu', 'CPU', 'CPU time of all calls', times => times.cpu_ms),
  ].filter(({ id, value }) => !['suspended', 'cpu'].includes(id) || rows.some(row => value(row) > 0));
  const notes = [
    leftOut > 0 ? `${number(leftOut)} more functions are not on this page.` : '',
    unnamed > 0 ? `A guest was entered ${unnamed === 1 ? 'once' : `${number(unnamed)} times`} without a way to tell by which function.` : '',
  ];
  const bar = ({ times }) => (times === null ? [] : [
    ['interface', times.wall_ms - times.suspended_ms, time(times.wall_ms - times.suspended_ms)],
    ['blocked', times.suspended_ms, time(times.suspended_ms)],
  ]);
  const legend = [['interface', 'running or waiting'], ['blocked', 'suspended']];
  return plainTable('calls', 'Calls', 'wall', columns, rows, legend, bar, notes.join(' ').trim());
}

function memoriesTable(rows, leftOut) {
  const columns = [
    { id: 'peak', label: 'Peak', hint: 'The most bytes it had', value: row => row.peak,
      text: row => size(row.peak), kept: true },
    { id: 'last', label: 'At the end', hint: 'What it had at the end', value: row => row.last,
      text: row => size(row.last) },
    { id: 'growths', label: 'Growths', hint: 'How often the guest made it grow', value: row => row.growths,
      text: row => number(row.growths) },
  ];
  const bar = row => [['guest', row.peak, size(row.peak)]];
  const note = leftOut > 0 ? `${number(leftOut)} more memories are not on this page.` : '';
  return plainTable('memory', 'Memories', 'peak', columns, rows, [['guest', 'peak']], bar, note);
}

const LEADS = {
  interface: 'Time by the interface it was spent behind. Self is its own time in guest or host, waiting included; boundary is '
    + 'what crossing it costs.',
  function: 'Time by function. Self is its own time, total is with all that it called.',
  line: 'Time by line of source code. Total is with all that was called from there.',
  calls: 'Every call across an interface, from call to return.',
  memory: 'Linear memories of core modules.',
};

const tables = { all: [], shown: null, wanted: '' };

const NAME_COLUMN = { id: 'name', label: 'Name', hint: '', value: row => row.name, text: row => row.name };
const columnsOf = table => [NAME_COLUMN, ...table.columns];

function sortRows(table, rows) {
  const { value } = columnsOf(table).find(({ id }) => id === table.sorted.column);
  const ascending = (a, b) => (typeof a === 'string' ? a.localeCompare(b, 'en') : a - b);
  const sign = table.sorted.descending ? -1 : 1;
  return [...rows].sort((a, b) => sign * ascending(value(a), value(b)));
}

/** Names are looked up from A, times from the longest. */
function sortBy(table, column) {
  const { sorted } = table;
  sorted.descending = sorted.column === column ? !sorted.descending : column !== 'name';
  sorted.column = column;
  showTable();
  remember();
}

const isFound = row => tables.wanted === '' || row.text.includes(tables.wanted);

/** Rows that are found, or have parts that are; without those of which nothing is in the selected time. */
function foundRows(table) {
  const isThere = row => table.isOfAllTime || selected === null || row.times[TOTAL] > 0;
  return table.rows.filter(row => isThere(row) && (isFound(row) || row.parts.some(isFound)));
}

function showTable() {
  const table = tables.shown;
  table.weigh();
  const note = selected !== null && table.isOfAllTime ? ' Of all of the time: what is selected cannot be told apart.' : '';
  $('table-lead').textContent = (LEADS[table.id] ?? `Time by the label “${table.heading}”.`) + note;
  showLegend($('table-legend'), table.legend);
  const element = $('table');
  element.dataset.table = table.id;
  element.tHead.rows[0].replaceChildren(...headings(table));
  const found = foundRows(table);
  const rows = sortRows(table, found);
  const longest = Math.max(...found.map(row => sum(table.bar(row).map(([, length]) => length))), 0);
  for (const body of [...element.tBodies]) body.remove();
  element.append(...rows.slice(0, table.shown).map(row => rowBody(table, row, longest)));
  const hidden = rows.length - table.shown;
  $('more').hidden = hidden <= 0;
  $('more').textContent = `Show ${number(Math.min(hidden, 4 * PAGE))} more of ${number(rows.length)} rows`;
  const none = `No row${tables.wanted === '' ? '' : ' has this name'}${selected === null ? '' : ' in the selected time'}. `;
  $('left-out').textContent = (found.length === 0 ? none : '') + table.leftOut;
}

function headings(table) {
  const heading = ({ id, label, hint, kept }) => {
    const sorts = button(hint === '' ? {} : { title: hint }, () => sortBy(table, id), label);
    const cell = el('th', { scope: 'col', 'data-column': id, class: id === 'name' || kept ? '' : 'rest' }, sorts);
    if (table.sorted.column === id) cell.setAttribute('aria-sort', table.sorted.descending ? 'descending' : 'ascending');
    return cell;
  };
  const [name, first, ...rest] = columnsOf(table).map(heading);
  return [name, el('td', { class: 'bar' }), first, ...rest, el('td', { class: 'opener' })];
}

/** A row, and below it its parts while they are unfolded: all of them would be thousands. */
function rowBody(table, row, longest) {
  const body = el('tbody');
  const before = [];
  if (table.rows.some(each => each.parts.length > 0)) {
    const fold = button({ class: 'fold', 'aria-label': `Functions of ${row.name}` }, () => {
      if (!table.open.delete(row)) table.open.add(row);
      fill();
    });
    fold.hidden = row.parts.length === 0;
    before.push(fold);
  }
  const fill = () => {
    const open = table.open.has(row) || !isFound(row);
    before.forEach(fold => fold.setAttribute('aria-expanded', open));
    const parts = open ? sortRows(table, isFound(row) ? row.parts : row.parts.filter(isFound)) : [];
    body.replaceChildren(...tableRows(table, row, `row ${table.id}-row`, longest, before),
      ...parts.filter(part => selected === null || part.times[TOTAL] > 0)
        .flatMap(part => tableRows(table, part, 'part', longest, [])));
  };
  fill();
  return body;
}

/** A row; where there is no place for all its cells, it opens to the rest. */
function tableRows(table, row, className, longest, before) {
  const opener = button({ class: 'open', 'aria-label': `All numbers of ${row.name}` }, () => {
    if (!table.opened.delete(row)) table.opened.add(row);
    const isOpen = table.opened.has(row);
    opener.setAttribute('aria-expanded', isOpen);
    if (isOpen) line.after(numbersRow(table, row));
    else line.nextElementSibling.remove();
  });
  const isOpen = table.opened.has(row);
  opener.setAttribute('aria-expanded', isOpen);
  const names = el('div', { class: 'names' }, nameOf(table, row), detailOf(row));
  const line = el('tr', { class: className, 'data-name': row.name },
    el('td', {}, el('div', { class: 'cell' }, ...before, names)),
    el('td', { class: 'bar' }, bar(table, row, longest)),
    ...table.columns.map(({ id, text, kept }) => el('td', { class: kept ? '' : 'rest', 'data-cell': id }, text(row))),
    el('td', { class: 'opener' }, opener));
  return isOpen ? [line, numbersRow(table, row)] : [line];
}

function numbersRow(table, row) {
  const facts = table.columns.map(({ label, text }) => el('div', {}, el('dt', {}, label), el('dd', {}, text(row) || '–')));
  return el('tr', { class: 'numbers' }, el('td', { colspan: table.columns.length + 3 }, el('dl', {}, ...facts)));
}

const detailOf = row => (row.detail === '' ? '' : el('small', { class: 'detail name', title: row.detail }, row.detail));

function nameOf(table, row) {
  if (table.view === null) return el('span', { class: 'name clamp', title: row.name }, row.name);
  const title = [row.name, row.detail, 'Find it in the flame graph'].filter(line => line !== '').join('\n');
  const attributes = { class: 'find name', title };
  return button(attributes, () => findInGraph(table.view, row.inGraph), el('span', { class: 'clamp' }, row.name));
}

function bar(table, row, longest) {
  const parts = table.bar(row).filter(([, length]) => length > 0);
  if (parts.length === 0 || longest === 0) return '';
  const label = parts.map(([kind, , text]) => `${kind} ${text}`).join(', ');
  return el('div', { class: 'stack', role: 'img', 'aria-label': label, title: label },
    ...parts.map(([kind, length]) => {
      const part = el('span', { class: kind });
      part.style.width = `${(100 * length) / longest}%`;
      return part;
    }));
}

/** The time of rows that are not all, and so never all of it. */
function shareOfMost(rows) {
  const text = share(sum(rows.map(spent)));
  return text === '100.0%' ? 'over 99.9%' : text;
}

/** The functions with the most time of their own, beside the graph. */
function showHottest() {
  const table = tables.all.find(({ id }) => id === 'function');
  if (table === undefined) return;
  table.weigh();
  const hottest = foundRows(table).filter(row => spent(row) > 0).sort((a, b) => spent(b) - spent(a));
  const longest = hottest.length > 0 ? spent(hottest[0]) : 0;
  const shown = hottest.slice(0, hotRows());
  $('hot').tBodies[0].replaceChildren(...shown.map(row => el('tr', { 'data-name': row.name },
    el('td', {}, el('div', { class: 'names' }, nameOf(table, row), table.twins.has(row.name) ? detailOf(row) : '')),
    el('td', { class: 'bar' }, bar(table, row, longest)),
    el('td', {}, share(spent(row))))));
  const others = hottest.length - shown.length;
  $('hot-note').textContent = hottest.length === 0 ? 'No function has this name, or time of its own.'
    : others > 0 ? `These have ${shareOfMost(shown)} of the time, `
      + (others === 1 ? 'one more has the rest.' : `${number(others)} more have the rest.`) : '';
}

function setTable(table) {
  tables.shown = table;
  table.shown = PAGE;
  document.querySelectorAll('input[name=table]').forEach(radio => { radio.checked = radio.value === table.id; });
}

function chooseTable(id) {
  setTable(tables.all.find(each => each.id === id));
  showTable();
}

function makeTables() {
  tables.all = hasSamples ? data.tables.map(timeTable).filter(table => table.rows.length > 0) : [];
  if (data.calls !== null && data.calls.rows.length > 0) tables.all.push(callsTable(data.calls));
  if (data.memories.length > 0) tables.all.push(memoriesTable(data.memories, data.memories_left_out));
  $('which-table').append(...tables.all.map(({ id, heading }) => {
    const radio = el('input', { type: 'radio', name: 'table', value: id, autocomplete: 'off' });
    radio.addEventListener('change', () => {
      chooseTable(id);
      remember(true);
    });
    return el('label', {}, radio, printable(heading));
  }));
  const { labels_left_out: leftOut } = data;
  $('labels-left-out').textContent = leftOut === 0 ? ''
    : `${number(leftOut)} more label${leftOut === 1 ? ' has no table' : 's have no table'} on this page.`;
  $('more').addEventListener('click', () => {
    tables.shown.shown += 4 * PAGE;
    showTable();
  });
  $('all-functions').addEventListener('click', () => {
    chooseTable('function');
    remember(true);
    $('tables-heading').scrollIntoView();
  });
}
