// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Input: mouse, keys, the filter and the size of the cells.

// point finds what is under the mouse.
function point(event) {
  const r = canvas.getBoundingClientRect();
  return hit(event.clientX - r.left + map.scrollLeft, event.clientY - r.top + map.scrollTop);
}

let rests = {};

function hover(event) {
  // When the page moves under a mouse that rests, the reader did not point.
  if (event.clientX === rests.x && event.clientY === rests.y) return;
  rests = { x: event.clientX, y: event.clientY };
  const at = model && point(event);
  const before = view.over && view.over.cell, after = at && at.cell;
  view.over = at;
  if (before !== after) repaint();
  if (!at) hideTip();
  else showTip(at.node ? cellWords(at.node, at.cell) : boxWords(at.box), event.clientX, event.clientY);
}

function leave() {
  hideTip();
  if (!view.over) return;
  view.over = null;
  repaint();
}

// select makes a gang stand out, '' for none, and may scroll to it.
function select(key, scroll) {
  view.gang = key;
  for (const button of document.querySelectorAll('.gang')) button.setAttribute('aria-pressed', String(button.parentNode.dataset.key === key));
  if (key && scroll) {
    const node = model.nodes.find((n) => n.pods.some((p) => p.gang && p.gang.key === key));
    if (node) reveal(node);
  }
  repaint();
}

// reveal scrolls a node into view.
function reveal(node) {
  const { box } = plan.seats[node.number];
  const p = place(node);
  const top = p.y - box.top < map.clientHeight / 2 ? box.top - margin : p.y - margin;
  if (top < map.scrollTop) map.scrollTop = top;
  if (p.y + p.h + margin > map.scrollTop + map.clientHeight) map.scrollTop = p.y + p.h + 2 * margin - map.clientHeight;
  if (box.left < map.scrollLeft) map.scrollLeft = box.left - margin;
  if (p.x + p.w > map.scrollLeft + map.clientWidth) map.scrollLeft = p.x + p.w + margin - map.clientWidth;
}

// focus moves the focus to a node.
function focus(node) {
  if (!node) return;
  view.focus = node.name;
  showCursor();
  reveal(node);
  showRack();
  repaint();
  if (map.matches(':focus-visible')) tipAtCursor(node);
}

// tipAtCursor says beside the node what hovering over its first cell would.
function tipAtCursor(node) {
  const held = node.cells.find((cell) => cell.pod) || node.cells[0];
  const r = cursor.getBoundingClientRect();
  showTip(cellWords(node, held), r.right, r.bottom - 8);
}

// showCursor puts the frame around the node that has the focus, and tells a
// screen reader what it is.
function showCursor() {
  const node = model.byName.get(view.focus);
  cursor.hidden = !node;
  if (!node) {
    map.removeAttribute('aria-activedescendant');
    return;
  }
  const p = place(node);
  Object.assign(cursor.style, { left: p.x - 1 + 'px', top: p.y - 1 + 'px', width: p.w + 2 + 'px', height: p.h + 2 + 'px' });
  cursor.id = 'node-' + node.number; // a new id makes a screen reader read it
  cursor.setAttribute('aria-label', nodeWords(node));
  cursor.setAttribute('aria-setsize', model.nodes.length);
  cursor.setAttribute('aria-posinset', node.number + 1);
  map.setAttribute('aria-activedescendant', cursor.id);
}

const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function mapKey(event) {
  if (!model || event.ctrlKey || event.metaKey || event.altKey || !model.nodes.length) return;
  const node = model.byName.get(view.focus);
  const last = model.nodes.length - 1;
  if (arrows[event.key]) focus(node ? beside(node, ...arrows[event.key]) : model.nodes[0]);
  else if (event.key === 'Home') focus(model.nodes[0]);
  else if (event.key === 'End') focus(model.nodes[last]);
  else if (event.key === 'PageDown' || event.key === 'PageUp') focus(nextBox(node, event.key === 'PageDown' ? 1 : -1));
  else if (event.key === 'Enter' || event.key === ' ') openRack(node || model.nodes[0]);
  else return;
  event.preventDefault();
}

function nextBox(node, step) {
  const box = node ? plan.seats[node.number].box.number + step : 0;
  return plan.boxes[Math.max(0, Math.min(plan.boxes.length - 1, box))].nodes[0];
}

// openRack lists a node's rack and, of what it holds, picks the first gang.
function openRack(node) {
  get('rack').hidden = false;
  focus(node);
  const here = document.querySelector('#rows .here');
  if (here) here.scrollIntoView({ block: 'nearest' });
  announce(get('rack-title').textContent + ': ' + get('rows').children.length + ' nodes, listed under Rack');
}

function anyKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || get('guide').open) return;
  if (event.key === 'Escape') return escape();
  if (event.target.matches('input, select')) return undefined;
  const act = { '/': () => get('find').focus(), '?': showGuide, '+': () => resize(1), '=': () => resize(1), '-': () => resize(-1), 0: () => resize(0) }[event.key];
  if (!act) return undefined;
  event.preventDefault();
  return act();
}

// escape takes back one thing: the table, the selection, the filter.
function escape() {
  hideTip();
  if (!get('rack').hidden) get('rack').hidden = true;
  else if (view.gang) select('');
  else if (filtered()) {
    get('find').value = get('namespace').value = '';
    filter();
  }
  if (document.activeElement === get('find')) map.focus();
}

function showGuide() {
  showMarks();
  get('guide').showModal();
}

// filter takes what the reader wants to see, and keeps it in the address.
function filter() {
  view.namespace = get('namespace').value;
  view.find = get('find').value.trim().toLowerCase();
  const wanted = new URLSearchParams();
  if (view.namespace) wanted.set('namespace', view.namespace);
  if (view.find) wanted.set('find', view.find);
  history.replaceState(null, '', wanted.size ? '#' + wanted : location.pathname + location.search);
  if (!model) return;
  search();
  showLists();
  repaint();
  announce(get('waiting-title').dataset.count + ' gangs waiting and ' + get('running-title').dataset.count + ' running are shown');
}

// readAddress takes the filter from the address.
function readAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  view.namespace = wanted.get('namespace') || '';
  view.find = (wanted.get('find') || '').toLowerCase();
  get('find').value = view.find;
}

function listen() {
  map.addEventListener('mousemove', hover);
  map.addEventListener('mouseleave', leave);
  map.addEventListener('scroll', () => { leave(); repaint(); }, { passive: true });
  map.addEventListener('click', (event) => {
    const at = model && point(event);
    if (!at || !at.node) return select('');
    if (at.cell && at.cell.pod && at.cell.pod.gang) select(at.cell.pod.gang.key === view.gang ? '' : at.cell.pod.gang.key);
    return focus(at.node);
  });
  map.addEventListener('keydown', mapKey);
  map.addEventListener('focus', () => { if (model && model.nodes.length && map.matches(':focus-visible')) focus(model.byName.get(view.focus) || model.nodes[0]); });
  map.addEventListener('blur', hideTip);
  document.addEventListener('keydown', anyKey);
  get('filter').addEventListener('submit', (event) => event.preventDefault());
  get('find').addEventListener('input', filter);
  get('namespace').addEventListener('change', filter);
  get('smaller').addEventListener('click', () => resize(-1));
  get('larger').addEventListener('click', () => resize(1));
  get('keys').addEventListener('click', showGuide);
  window.addEventListener('hashchange', () => { readAddress(); get('namespace').value = view.namespace; filter(); });
  new ResizeObserver(relayout).observe(map);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolour);
}
