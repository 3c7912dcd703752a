// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// The start, and how news come in.

// chosen is the size of the cells that the reader wants, -1 for what fits.
let chosen = -1;

const ruler = document.createElement('canvas').getContext('2d');
const widths = new Map();

// widthOf measures a name as the canvas will write it.
function widthOf(name) {
  if (!widths.has(name)) {
    ruler.font = '11px system-ui, "DejaVu Sans", sans-serif';
    widths.set(name, ruler.measureText(name).width);
  }
  return widths.get(name);
}

// relayout arranges everything for the room that there is. A reader who did
// not choose a size gets the largest that shows all, else the smallest.
function relayout() {
  if (!model || !map.clientWidth) return;
  const width = map.clientWidth, height = map.clientHeight;
  if (chosen >= 0) plan = arrange(sizes[chosen], width, widthOf);
  else {
    for (let i = sizes.length - 2; i >= 0; i--) {
      plan = arrange(sizes[i], width, widthOf);
      view.size = i;
      if (plan.height <= height && plan.width <= width) break;
    }
  }
  space.style.width = plan.width + 'px';
  space.style.height = plan.height + 'px';
  showCursor();
  repaint();
}

// resize makes cells larger or smaller by a step, or fitting for 0, and keeps
// what is in the middle of the map there.
function resize(step) {
  chosen = step === 0 ? -1 : Math.max(0, Math.min(sizes.length - 1, (chosen < 0 ? view.size : chosen) + step));
  const center = hitNear(map.scrollTop + map.clientHeight / 2);
  relayout();
  if (center) map.scrollTop = center.top + center.h / 2 - map.clientHeight / 2;
}

const hitNear = (y) => plan.boxes.find((b) => b.top + b.h >= y) || null;

function recolour() {
  readColours();
  for (const canvas of document.querySelectorAll('canvas.swatch')) paintSwatch(canvas);
  repaint();
}

// shape tells whether nodes have come, gone or moved, so that the layout no
// longer holds.
const shape = (data) => JSON.stringify([data.domains, data.nodes.map((n) => [n.n, n.d, (n.o || []).map((o) => [o.r, o.c])])]);

// take shows new data. The reader's place, focus and choices stay.
function take(data) {
  const before = model;
  model = understand(data, performance.now());
  const same = before && shape(before.data) === shape(data);
  assignMarks();
  search();
  view.over = null;
  if (view.gang && !model.gangs.some((g) => g.key === view.gang)) view.gang = '';
  showNamespaces();
  showFigures();
  showLists();
  if (same) {
    // The boxes are the same; the nodes in them are new objects.
    for (const box of plan.boxes) {
      box.domain = model.domains[box.domain.number];
      box.nodes = box.domain.nodes;
    }
    for (const frame of plan.frames) frame.domain = model.domains[frame.domain.number];
    showCursor();
    repaint();
  } else relayout();
  showRack();
  if (before) tell(before);
  document.documentElement.dataset.ready = 'true';
}

// tell says what the news are, for those who do not see them.
function tell(before) {
  const waits = (m) => new Set(m.gangs.filter((g) => g.phase !== 'running').map((g) => g.key));
  const old = waits(before), fresh = waits(model);
  const started = [...old].filter((key) => model.gangs.some((g) => g.key === key) && !fresh.has(key));
  const came = [...fresh].filter((key) => !old.has(key));
  const say = (keys, verb) => (keys.length > 3 ? [keys.length + ' gangs ' + verb] : keys.map((key) => key + ' ' + verb));
  const news = [...say(started, 'started'), ...say(came, 'waiting')];
  if (news.length) announce(news.join('; '));
}

// clock says of when the picture is.
function clock(state, text) {
  const p = get('clock');
  p.className = state;
  say(p, text);
}

const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace('T', ' ') + ' UTC';
const hour = () => new Date().toTimeString().slice(0, 8);

let tag = '';
let lost = '';

// poll asks for news. A page that nobody sees does not.
async function poll() {
  if (!document.hidden) await ask();
  setTimeout(poll, live * 1000);
}

async function ask() {
  try {
    const answer = await fetch('data.json', { cache: 'no-store', headers: tag ? { 'If-None-Match': tag } : {} });
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error((await answer.text()).trim() || 'status ' + answer.status);
      const data = await answer.json();
      take(data);
      tag = answer.headers.get('ETag') || '';
    }
    lost = '';
    clock('live', 'live');
  } catch (err) {
    lost = lost || hour();
    clock('lost', 'no news since ' + lost);
    get('clock').title = String(err.message);
  }
}

readColours();
readAddress();
listen();
setInterval(tick, 1000);
const data = JSON.parse(get('data').textContent);
if (live) {
  clock('', 'connecting');
  poll();
} else {
  take(data);
  clock('', 'as of ' + moment(model.taken));
}

// For tests and for the curious.
window.muster = { work, idle: () => !ordered, view, place: (name) => place(model.byName.get(name)), model: () => model, plan: () => plan };
