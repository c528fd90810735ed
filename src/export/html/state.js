// What is shown, in the address: so a picture can be sent, and the browser goes back to what was before.

/** What is not as at the beginning, as the part of an address behind `#`. */
function currentState() {
  const state = new URLSearchParams();
  const add = (name, value, unless) => value !== unless && state.set(name, value);
  add('view', graph.view, data.first_view);
  add('from', graph.direction, 'root');
  add('zoom', pathOf(graph.zoomed), '');
  add('search', $('search').value, '');
  add('time', selected === null ? '' : selected.join('-'), '');
  const { id, first, sorted: { column, descending } } = tables.shown;
  add('table', id, firstTable());
  add('sort', `${column}${descending ? '-' : '+'}`, `${first}-`);
  return state.toString();
}

/** Puts what is shown into the address; as a step that the browser can go back over, if `isStep`. */
function remember(isStep = false) {
  const state = currentState();
  if (state === location.hash.slice(1)) return;
  const url = `${location.href.split('#')[0]}#${state}`;
  try {
    if (isStep) history.pushState(null, '', url);
    else history.replaceState(null, '', url);
  } catch {
    // Where a page may not change its address (in a frame of another one, perhaps), all but that works.
  }
}

const firstTable = () => (tables.all.some(({ id }) => id === data.first_view) ? data.first_view : tables.all[0].id);

/** Shows what an address says. It may come from anywhere: what is no such thing is left as at the beginning. */
function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  const get = name => state.get(name) ?? '';
  const view = get('view');
  const isView = Object.hasOwn(data.views, view) && data.views[view] !== null;
  graph.view = isView ? view : data.first_view;
  graph.direction = get('from') === 'leaf' ? 'leaf' : 'root';
  for (const what of ['view', 'direction']) {
    document.querySelector(`input[name=${what}][value=${graph[what]}]`).checked = true;
  }
  const [from, to] = (/^(\d{1,4})-(\d{1,4})$/.exec(get('time')) ?? []).slice(1).map(Number);
  const table = tables.all.find(({ id }) => id === get('table')) ?? tables.all.find(({ id }) => id === firstTable());
  const [, column, order] = /^(.*)([+-])$/.exec(get('sort')) ?? [];
  const isColumn = columnsOf(table).some(({ id }) => id === column);
  table.sorted = isColumn ? { column, descending: order === '-' } : { column: table.first, descending: true };
  setTable(table);
  $('search').value = get('search').slice(0, 1000);
  setSearch($('search').value);
  select(hasSamples && from < to && to <= data.steps ? [from, to] : null, get('zoom'));
}
