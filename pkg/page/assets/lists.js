// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// The lists at the side: gangs that wait, with their sentence, and gangs that
// run; the figures at the top. Elements are kept for as long as their gang is
// there, so that an update takes neither focus nor place.

const get = (id) => document.getElementById(id);

// page is how many gangs a list shows at first and with each wish for more.
const page = 50;
const shown = { waiting: page, running: page };

// element makes an element with a class and a text.
function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

// say sets a text if it is new.
function say(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// natural puts job-9 before job-10.
const natural = new Intl.Collator('en', { numeric: true });

function showLists() {
  const gangs = model.gangs.filter(listed);
  // Of a gang that runs, members beyond the minimum may wait.
  const waiting = gangs.filter((g) => g.phase !== 'running');
  const running = gangs.filter((g) => g.phase === 'running');
  waiting.sort((a, b) => a.place - b.place);
  running.sort((a, b) => natural.compare(a.key, b.key));
  showList('waiting', waiting, gangCard);
  showList('running', running, gangLine);
}

function showList(id, gangs, fill) {
  const title = get(id + '-title');
  if (title.dataset.count !== String(gangs.length)) {
    title.dataset.count = gangs.length;
    title.replaceChildren(id === 'waiting' ? 'Waiting' : 'Running', element('b', '', String(gangs.length)));
  }
  const list = get(id);
  const known = new Map([...list.children].filter((li) => li.dataset.key).map((li) => [li.dataset.key, li]));
  const wanted = gangs.slice(0, shown[id]).map((g) => {
    const li = known.get(g.key) || gangItem(g);
    fill(li.firstChild, g);
    return li;
  });
  if (!gangs.length) wanted.push(element('li', 'none', filtered() ? 'none of those that are shown' : id === 'waiting' ? 'no gang waits' : 'no gang runs'));
  if (gangs.length > shown[id]) wanted.push(moreButton(id, gangs.length - shown[id]));
  settle(list, wanted);
}

// settle makes children the children of a list and moves only those that are
// not where they should be.
function settle(list, children) {
  const keep = new Set(children);
  for (const old of [...list.children]) if (!keep.has(old)) old.remove();
  children.forEach((child, i) => { if (list.children[i] !== child) list.insertBefore(child, list.children[i] || null); });
}

const filtered = () => Boolean(view.namespace || view.find);

function moreButton(id, left) {
  const li = element('li');
  const button = element('button', 'more', 'Show ' + Math.min(page, left) + ' more of ' + left);
  button.type = 'button';
  button.addEventListener('click', () => {
    shown[id] += page;
    showLists();
  });
  li.append(button);
  return li;
}

function gangItem(gang) {
  const li = element('li');
  li.dataset.key = gang.key;
  const button = element('button', 'gang');
  button.type = 'button';
  button.append(element('span', 'mark'), element('span', 'name'), element('span', 'time'), element('span', 'reason'), element('span', 'about'));
  button.addEventListener('click', () => select(view.gang === gang.key ? '' : gang.key, true));
  li.append(button);
  return li;
}

function fillGang(button, gang) {
  const [mark, name, time] = button.children;
  button.setAttribute('aria-pressed', String(view.gang === gang.key));
  const wanted = gang.mark === undefined ? '' : String(gang.mark);
  if (mark.dataset.mark !== wanted) {
    mark.dataset.mark = wanted;
    mark.replaceChildren(...(wanted ? [swatch(gang.mark)] : []));
  }
  if (name.dataset.key !== gang.key) {
    name.dataset.key = name.title = gang.key;
    name.replaceChildren(element('i', '', gang.namespace + '/'), gang.name);
  }
  say(time, gang.phase === 'running' ? span(now() - gang.started) : waited(gang));
  time.title = gang.phase === 'running' ? 'runs; waited ' + waited(gang) : 'waits';
}

function gangCard(button, gang) {
  fillGang(button, gang);
  const [, , , reason, about] = button.children;
  reason.classList.toggle('calm', gang.reason === 'FitsNow' || gang.reason === 'GangIncomplete' || gang.reason === 'SchedulingGated');
  say(reason, (gang.reason || 'Waiting') + ' · ' + gang.bound + ' of ' + (gang.minCount || '?') + ' placed');
  say(about, gang.message || '');
}

function gangLine(button, gang) {
  fillGang(button, gang);
  const [, , , reason, about] = button.children;
  reason.classList.add('calm');
  say(reason, gang.message ? gang.reason + ': ' + gang.message : '');
  reason.hidden = !gang.message;
  const pods = gang.bound === 1 ? '1 pod' : gang.bound + ' pods';
  say(about, pods + (gang.cells ? ' · ' + gang.cells + (gang.cells === 1 ? ' GPU' : ' GPUs') : '') + (gang.domain ? ' · ' + gang.domain : ''));
}

// tick renews the times of the gangs that wait.
function tick() {
  if (!model || !live) return;
  const gangs = new Map(model.gangs.map((g) => [g.key, g]));
  for (const li of get('waiting').children) {
    const gang = gangs.get(li.dataset.key);
    if (gang) say(li.firstChild.children[2], waited(gang));
  }
}

// showFigures counts the cluster. What has no room for pods is not free.
function showFigures() {
  const sum = { free: 0, held: 0, other: 0, out: 0 };
  for (const node of model.nodes) {
    for (const cell of node.cells) {
      if (cell.pod) sum[cell.pod.gang ? 'held' : 'other']++;
      else sum[node.state ? 'out' : 'free']++;
    }
  }
  const { gpus, mig } = model.domains[0].room;
  const waiting = model.gangs.filter((g) => g.phase !== 'running').length;
  const figures = [
    ['nodes', '', model.nodes.length], ['GPUs', '', gpus], ['MIG', '', mig], ['in gangs', '0', sum.held], ['other pods', 'other', sum.other],
    ['free', 'free', sum.free], ['out of use', 'out', sum.out], [waiting === 1 ? 'gang waits' : 'gangs wait', '', waiting],
  ].filter(([label, , count]) => count || label === 'free' || label === 'gangs wait');
  const list = get('figures');
  const text = figures.map((f) => f.join(' ')).join();
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...figures.map(([label, kind, count]) => {
    const div = element('div');
    if (kind) div.append(swatch(kind, true));
    div.append(element('dt', '', label), element('dd', '', count.toLocaleString('en')));
    return div;
  }));
}

// showNamespaces offers the namespaces that there are.
function showNamespaces() {
  const names = new Set(model.gangs.map((g) => g.namespace));
  for (const node of model.nodes) for (const pod of node.pods) if (pod.s) names.add(pod.s);
  if (view.namespace) names.add(view.namespace);
  const list = get('namespace');
  const wanted = ['', ...[...names].sort()];
  if (wanted.join('\n') === [...list.options].map((o) => o.value).join('\n')) return;
  list.replaceChildren(...wanted.map((name) => new Option(name || 'all namespaces', name)));
  list.value = view.namespace;
}
