// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// The model: data as it came, with what painting and words need at hand.

// maxCells bounds what is painted of one resource of one node; real nodes have
// 16 GPUs and some dozen MIG instances at most.
const maxCells = 128;

// live is how often, in seconds, a served page asks for news; 0 for a file.
const live = Number(document.documentElement.dataset.live);

// view is what the reader has chosen. focus is the name of a node.
const view = { size: 0, namespace: '', find: '', gang: '', focus: '', over: null };

let model = null;

// understand turns data into the model. It is shown as taken at `received`, on
// the clock of performance.now.
function understand(data, received) {
  const m = { data, received, taken: Date.parse(data.taken), nodes: [], byName: new Map(), gangs: [], domains: [] };
  m.gangs = data.gangs.map((g, i) => ({
    ...g, number: i, key: g.namespace + '/' + g.name, created: Date.parse(g.created), started: Date.parse(g.started), cells: 0,
  }));
  m.domains = data.domains.map((d, i) => ({ ...d, number: i, children: [], nodes: [], room: noRoom() }));
  for (const d of m.domains) {
    d.path = d.parent > 0 ? m.domains[d.parent].path + '/' + d.name : d.name;
    if (d.parent >= 0) m.domains[d.parent].children.push(d);
  }
  for (const n of data.nodes) addNode(m, n);
  return m;
}

function addNode(m, n) {
  const node = {
    name: n.n, number: m.nodes.length, domain: m.domains[n.d], model: n.m < 0 ? '' : m.data.models[n.m], state: n.s || '',
    cells: [], pods: n.p || [], units: 0, room: noRoom(), missing: 0,
  };
  for (const pod of node.pods) pod.gang = pod.g < 0 ? null : m.gangs[pod.g];
  for (const offer of n.o || []) fillCells(node, offer, m.data.resources[offer.r]);
  for (let d = node.domain; d; d = d.parent >= 0 ? m.domains[d.parent] : null) {
    for (const key of Object.keys(d.room)) d.room[key] += node.room[key];
  }
  node.domain.nodes.push(node);
  m.nodes.push(node);
  m.byName.set(node.name, node);
}

// fillCells lays the holders of a resource beside each other, then what is free.
function fillCells(node, offer, resource) {
  const slices = slicesOf(resource);
  const width = slices ? 0.3 + 0.1 * slices : 1;
  const count = Math.min(offer.c, maxCells);
  node.missing += offer.c - count;
  let used = 0;
  for (const pod of node.pods) {
    const held = pod.h.filter((h) => h.r === offer.r).reduce((sum, h) => sum + h.c, 0);
    if (pod.gang) pod.gang.cells += Math.min(held, maxCells);
    for (let i = 0; i < held && used < count; i++, used++) node.cells.push({ pod, width, resource, first: i === 0 });
  }
  for (let i = used; i < count; i++) node.cells.push({ pod: null, width, resource, first: false });
  node.units += count * width;
  const [free, total] = slices ? ['migFree', 'mig'] : ['free', 'gpus'];
  node.room[total] += count;
  if (!node.state) node.room[free] += count - used;
}

// noRoom counts whole GPUs and MIG instances, and those of them that are free
// on nodes that take pods.
const noRoom = () => ({ gpus: 0, free: 0, mig: 0, migFree: 0 });

// roomWords says what is free, in full or in fewer words.
function roomWords({ gpus, free, mig, migFree }, brief) {
  if (!gpus && !mig) return brief ? '' : 'no GPUs';
  const parts = [];
  if (gpus) parts.push(brief ? free + (mig ? ' GPUs' : '') : free + ' of ' + gpus + (mig ? ' GPUs' : ''));
  if (mig) parts.push(brief ? migFree + ' MIG' : migFree + ' of ' + mig + ' MIG');
  return parts.join(', ') + ' free';
}

// slicesOf is how many of a GPU's seven compute slices a MIG instance has, such
// as 2 for nvidia.com/mig-2g.10gb; 0 for what is no MIG instance.
function slicesOf(resource) {
  const slices = /\/mig-(\d)g\./.exec(resource);
  return slices ? Math.max(1, Math.min(7, Number(slices[1]))) : 0;
}

// short is a resource as people say it.
function short(resource, count) {
  const name = resource.slice(resource.lastIndexOf('/') + 1);
  if (name === 'gpu') return count === 1 ? 'GPU' : 'GPUs';
  return name.startsWith('mig-') ? 'MIG ' + name.slice(4) : name;
}

// now is the moment on the cluster's clock: a picture that is not live stays at
// the moment it was taken.
function now() {
  return live ? model.taken + (performance.now() - model.received) : model.taken;
}

// span writes a time span with its two largest units.
function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (!Number.isFinite(s)) return '';
  const [m, h, d] = [Math.floor(s / 60), Math.floor(s / 3600), Math.floor(s / 86400)];
  if (d >= 10) return d + 'd';
  if (d) return d + 'd' + (h % 24) + 'h';
  if (h) return h + 'h' + (m % 60) + 'm';
  return m ? m + 'm' + (s % 60) + 's' : s + 's';
}

// waited is how long a gang has waited or, once it runs, had to wait.
function waited(gang) {
  return span((gang.phase === 'running' ? gang.started : now()) - gang.created);
}

// lit tells whether what a pod holds is among what the reader has chosen.
function lit(pod, node) {
  if (!pod) return true;
  if (view.gang) return Boolean(pod.gang) && pod.gang.key === view.gang;
  if (view.namespace && pod.s !== view.namespace) return false;
  return !view.find || node.name.toLowerCase().includes(view.find) || (pod.n || '').toLowerCase().includes(view.find)
    || (Boolean(pod.gang) && pod.gang.key.toLowerCase().includes(view.find));
}

// listed tells whether a gang is among what the reader has chosen.
function listed(gang) {
  if (view.namespace && gang.namespace !== view.namespace) return false;
  return !view.find || gang.key.toLowerCase().includes(view.find) || found.has(gang.number);
}

// found are the gangs of which a pod or a node matches what is looked for.
let found = new Set();

function search() {
  found = new Set();
  if (!view.find) return;
  for (const node of model.nodes) {
    for (const pod of node.pods) {
      if (pod.gang && lit({ ...pod, gang: null }, node)) found.add(pod.gang.number);
    }
  }
}
