// The status page. It asks the balancer that it came from what each machine tells, and the other balancer while that one is
// away. Nothing is asked while nobody looks.

const PAUSE_MS = 2000;
// A machine without power is given up by the balancer after half a second, one that hangs after three.
const PATIENCE_MS = 5000;
const DAY = 24 * 3600;
const FULL = 0.9; // as scripts/status has it, and the days of a certificate
const CERTIFICATE_DAYS = 14, CERTIFICATE_SHARE = 1 / 3, RENEWAL_SECONDS = 1800;
const MOUNT_SECONDS = 10; // as the alert PhpClusterMountSilent
const NOTED_SECONDS = 30; // between two looks of a balancer, and some: shorter gaps are none
const SHOWN_CHANGES = 100;
const KEPT_RATES = 60;

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

// The exposition format of Prometheus: a name to its samples, each with labels and a value.
class Metrics {
  constructor(text) {
    this.samples = new Map();
    for (const line of text.split("\n")) {
      const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      if (!found) continue;
      const [, name, inner, value] = found;
      const labels = Object.fromEntries([...(inner ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((each) => [each[1], each[2]]));
      const number = /^[+-]?Inf/.test(value) ? Infinity : Number(value);
      this.samples.set(name, [...(this.samples.get(name) ?? []), { labels, value: number }]);
    }
  }

  all(name, labels = {}) {
    const wanted = Object.entries(labels);
    return (this.samples.get(name) ?? []).filter((each) =>
      wanted.every(([key, value]) => (value instanceof RegExp ? value.test(each.labels[key]) : each.labels[key] === value)));
  }

  // The sum of what fits; undefined where nothing does.
  sum(name, labels) {
    const found = this.all(name, labels);
    return found.length ? found.reduce((total, each) => total + each.value, 0) : undefined;
  }
}

/* Asking */

let cluster, base = "", paused = false, last, rates = [];
const remembered = {}; // what a balancer has noted, as it told last
const bases = () => [base, ...["", cluster.peer].filter((other) => other !== base)];

// What a machine tells, or null where it does not.
async function ask(from, machine, what, heard) {
  try {
    const answer = await fetch(`${from}/told/${machine}/${what}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    heard.balancer = true;
    if (!answer.ok) return null;
    return what === "changes" ? await answer.json() : new Metrics(await answer.text());
  } catch {
    return null;
  }
}

// What all of them tell by way of one balancer, or null where that one does not answer.
async function askAll(from) {
  const heard = {};
  const told = await Promise.all([...cluster.balancers, ...cluster.nodes].map(async (name) => {
    const balances = cluster.balancers.includes(name);
    const [machine, service, changes] = await Promise.all([
      ask(from, name, "machine", heard), balances ? null : ask(from, name, "service", heard), balances ? ask(from, name, "changes", heard) : null]);
    return [name, { machine, service, changes }];
  }));
  return heard.balancer ? Object.fromEntries(told) : null;
}

async function look() {
  for (const from of bases()) {
    const machines = await askAll(from);
    if (!machines) continue;
    base = from;
    for (const name of cluster.balancers) if (machines[name].changes) remembered[name] = machines[name].changes;
    // The times of changes are the balancers'; this machine's clock may be another.
    const clocks = Object.values(remembered).map((changes) => changes.looked);
    return { machines, clock: clocks.length ? Math.max(...clocks) : Date.now() / 1000 };
  }
  return null;
}

/* Judging: the same as docs/monitoring/alerts.yml */

const isThere = (told) => Boolean(told.machine || told.service || told.changes);
const state = (told, name) => told.changes?.state[name];
// A balancer whose disk hangs cannot look, and its exporter still has what was so 15 s ago.
const holds = (told) => (told.changes ? state(told, "address") === "yes" : Boolean(told.machine?.sum("php_cluster_holds_floating_ip")));
const isReady = (told) => (told.changes ? state(told, "ready") === "yes" : Boolean(told.machine?.sum("php_cluster_balancer_ready")));
const most = (values) => (values.length ? Math.max(...values) : undefined);
const percent = (share) => `${Math.round(share * 100)} %`;

// The share that is used of a disk, undefined where it is not known.
function used(told, mountpoint) {
  const [size, left] = ["size", "avail"].map((what) => told.machine?.all(`node_filesystem_${what}_bytes`, { mountpoint })[0]?.value);
  return size ? 1 - left / size : undefined;
}

function daysOfCertificate(told, now) {
  const ends = told.machine?.sum("php_cluster_certificate_end_timestamp_seconds");
  return ends === undefined ? undefined : Math.floor((ends - now) / 86400);
}

// Whether one that ends is not renewed: with a third of its time left a balancer asks for the next one, and has half an hour.
function isOverdue(told, now) {
  const [ends, lasts] = ["end_timestamp", "lifetime"].map((what) => told.machine?.sum(`php_cluster_certificate_${what}_seconds`));
  return ends - now < Math.max(0, Math.min(CERTIFICATE_DAYS * 86400, lasts * CERTIFICATE_SHARE) - RENEWAL_SECONDS);
}

const pendingOf = (told) => Object.values(told.changes?.pending ?? {}).reduce((sum, count) => sum + count, 0);

// How many more failures each part survives, where that is known.
function survived(machines) {
  const balancers = cluster.balancers.map((name) => machines[name]);
  const nodes = cluster.nodes.map((name) => machines[name]);
  const inService = balancers.filter((told) => told.changes).map((told) => cluster.nodes.filter((node) => state(told, `node/${node}`) === "up").length);
  const votes = nodes.map((told) => told.machine?.sum("php_cluster_quorum_votes")).filter((count) => count !== undefined);
  const needed = most(nodes.map((told) => told.machine?.sum("php_cluster_quorum_needed") ?? 0));
  const outdated = nodes.some((told) => told.machine?.sum("php_cluster_brick_outdated"));
  return {
    balancers: balancers.filter(isReady).length - 1,
    "PHP nodes": inService.length ? most(inService) - 1 : undefined,
    "bricks and arbiter": votes.length ? most(votes) - needed : undefined,
    "copies of the sessions": outdated || balancers.some(pendingOf) ? 0 : 1,
  };
}

function faultsOf(name, machines, now) {
  const told = machines[name];
  if (!isThere(told)) return [`${name} does not answer`];
  const faults = [];
  const balances = cluster.balancers.includes(name);
  if (balances ? state(told, "haproxy") === "down" : !told.service) faults.push(`${balances ? "HAProxy" : "PHP"} on ${name} does not answer`);
  if (!told.machine) faults.push(`${name} tells no metrics of the machine`);
  if (balances && !told.changes) faults.push(`${name} cannot tell what it sees`);
  if (balances && !isReady(told)) faults.push(`${name} must not have the floating IP`);
  for (const [key, value] of Object.entries(told.changes?.state ?? {})) {
    const [kind, what] = key.split("/");
    if (kind === "brick" && value === "down") faults.push(`the brick of ${name} (${what}) does not run`);
    if (kind === "heal" && value === "pending") faults.push(`${told.changes.pending[what]} entries of ${what} wait to be healed from ${name}`);
    if (kind === "node" && value !== "up" && isThere(machines[what])) faults.push(`${what} ${NODE_WORDS[value]}`);
  }
  for (const each of told.machine?.all("php_cluster_mount_waited_seconds") ?? [])
    if (each.value > MOUNT_SECONDS) faults.push(`the mount of ${each.labels.volume} on ${name} does not answer`);
  for (const each of told.machine?.all("php_cluster_brick_outdated") ?? [])
    if (each.value) faults.push(`the arbiter takes the brick of ${each.labels.brick} for outdated`);
  for (const place of ["/", "/session"])
    if (used(told, place) > FULL) faults.push(`${place} on ${name} is ${percent(used(told, place))} full`);
  if (isOverdue(told, now)) faults.push(`the certificate of ${name} ends in ${daysOfCertificate(told, now)} days`);
  return faults;
}

function judge({ machines, clock }) {
  const holders = cluster.balancers.filter((name) => holds(machines[name]));
  const left = Object.entries(survived(machines));
  const faults = [...new Set(Object.keys(machines).flatMap((name) => faultsOf(name, machines, clock)))];
  if (holders.length > 1) faults.unshift("both balancers have the floating IP");
  const refused = sumOver(machines, cluster.nodes, "machine", "php_cluster_sessions_refused");
  if (refused) faults.push(`${refused} requests of the last 5 minutes were refused for their session`);
  const gone = left.filter(([, count]) => count < 0).map(([part]) => `not enough ${part} are left`);
  // The other one may serve all the same, where the balancers alone do not reach each other.
  if (!holders.length && cluster.balancers.some((name) => !isThere(machines[name])))
    return { state: "unknown", word: "Whether visitors are served is not known", reasons: faults, holders };
  if (!holders.length) gone.unshift("no balancer has the floating IP");
  if (gone.length) return { state: "down", word: "Visitors are not served", reasons: [...gone, ...faults], holders };
  if (holders.some((name) => state(machines[name], "maintenance") === "on"))
    return { state: "worn", word: "Visitors get the page for maintenance", reasons: faults, holders };
  const risks = left.filter(([, count]) => count === 0).map(([part]) => part);
  if (risks.length)
    return { state: "risk", word: "It serves. One more failure would stop it", reasons: [`nothing is left to lose of: ${risks.join(", ")}`, ...faults], holders };
  if (faults.length) return { state: "worn", word: "It serves, and something is wrong", reasons: faults, holders };
  return { state: "well", word: "All is well", reasons: [`${holders[0]} has the floating IP. Any one machine may fail.`], holders };
}

function sumOver(machines, names, source, metric, labels) {
  const found = names.map((name) => machines[name][source]?.sum(metric, labels)).filter((value) => value !== undefined);
  return found.length ? found.reduce((one, other) => one + other, 0) : undefined;
}

/* What visitors get */

const visitors = (seen, name) => seen.machines[name].changes?.visitors ?? {};
const total = (seen, what) => cluster.balancers.reduce((sum, name) => sum + (visitors(seen, name)[what] ?? 0), 0);

// Of each balancer alone, since one may come back, and its HAProxy counts from its start on.
function rateOf(what, seen) {
  if (!last) return undefined;
  // By the balancer's clock: an answer may have been given to others before.
  const grown = cluster.balancers.map((name) => [visitors(seen, name), visitors(last, name)])
    .map(([now, before]) => (now[what] - before[what]) / (now.at - before.at)).filter((rate) => rate >= 0 && rate < Infinity);
  return grown.length ? grown.reduce((one, other) => one + other, 0) : undefined;
}

const shown = (value, digits = 0) => (value === undefined || Number.isNaN(value) ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits }));

function figures(seen, verdict) {
  const { machines } = seen;
  const active = verdict.holders.length ? visitors(seen, verdict.holders[0]) : {};
  const rate = rateOf("requests", seen);
  if (rate !== undefined) rates = [...rates, rate].slice(-KEPT_RATES);
  const atPhp = sumOver(machines, cluster.nodes, "service", "phpfpm_listen_queue");
  const busy = sumOver(machines, cluster.nodes, "service", "phpfpm_active_processes");
  const workers = sumOver(machines, cluster.nodes, "service", "phpfpm_total_processes");
  // A balancer counts files of its brick, and of a log each node's service knows.
  const counts = cluster.balancers.map((name) => machines[name].changes?.sessions)
    .concat(cluster.nodes.map((name) => machines[name].machine?.sum("php_cluster_sessions_stored")));
  const stored = most(counts.filter((count) => count !== undefined && count !== null));
  const now = rateOf("refused", seen);
  return [
    ["requests", "Requests", shown(rate, 1), "per second", `${shown(rateOf("errors", seen), 1)} answers of 5xx per second`],
    ["answer", "An answer takes", shown(active.answer_ms), "ms", `after ${shown(active.queue_ms)} ms in the queue`],
    ["waiting", "Waiting", shown(total(seen, "waiting") + (atPhp ?? 0)), "requests", `${shown(busy)} of ${shown(workers)} PHP workers are busy`],
    ["sessions", "Sessions", shown(stored), "stored",
      `${shown(sumOver(machines, cluster.nodes, "machine", "php_cluster_sessions_refused"))} requests refused in 5 minutes`],
    ["limited", "Refused by limits", shown(now, 1), "per second",
      `${shown(total(seen, "refused"))} requests, ${shown(total(seen, "closed"))} connections since HAProxy's start`],
  ];
}

function sparkline() {
  const highest = Math.max(1, ...rates);
  const points = rates.map((rate, index) => `${100 - ((rates.length - 1 - index) * 100) / (KEPT_RATES - 1)},${30 - (28 * rate) / highest}`).join(" ");
  const [svg, line] = ["svg", "polyline"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of Object.entries({ viewBox: "0 0 100 32", preserveAspectRatio: "none", "aria-hidden": "true" })) svg.setAttribute(name, value);
  line.setAttribute("points", points);
  svg.append(line);
  return svg;
}

/* Machines */

function row(name, value, share) {
  if (value === undefined) return undefined;
  const bar = share === undefined ? undefined : element("div", { class: "bar", "aria-hidden": "true", "data-full": share > FULL ? "" : undefined }, element("i"));
  if (bar) bar.firstChild.style.width = `${Math.min(1, share) * 100}%`;
  return element("div", {}, element("dt", {}, name), element("dd", {}, value), bar);
}

function disk(name, told, place) {
  const share = used(told, place);
  return share === undefined ? undefined : row(name, `${percent(share)} used`, share);
}

function memory(told) {
  const [all, left] = ["MemTotal", "MemAvailable"].map((what) => told.machine?.sum(`node_memory_${what}_bytes`));
  return all && left !== undefined ? row("Memory", `${percent(1 - left / all)} used`, 1 - left / all) : undefined;
}

function balancerCard(name, told, at) {
  const ready = isReady(told);
  const word = holds(told) ? "has the floating IP" : ready ? "spare, ready" : "must not have the floating IP";
  const days = daysOfCertificate(told, at);
  const runs = Object.entries(told.changes?.state ?? {}).every(([key, value]) => !key.startsWith("brick/") || value === "up");
  const pending = pendingOf(told);
  const heal = !runs ? "its brick does not run" : pending ? `${shown(pending)} entries` : "nothing to do";
  return {
    state: !ready ? "down" : runs && !pending ? "well" : "worn", word,
    rows: [row("Heal", heal), disk("Brick", told, "/session"), disk("Disk", told, "/"), memory(told), row("Certificate", days === undefined ? undefined : `${days} days left`)],
  };
}

const NODE_WORDS = { up: "in service", silent: "does not serve: its mount does not answer", drained: "gets no new requests", down: "is out of service" };

function nodeCard(name, told, machines, holders) {
  const views = [...holders, ...cluster.balancers].map((balancer) => state(machines[balancer], `node/${name}`)).filter(Boolean);
  const [view] = views;
  const [busy, total] = ["active", "total"].map((what) => told.service?.sum(`phpfpm_${what}_processes`));
  const waited = told.machine?.all("php_cluster_mount_waited_seconds", { volume: "sessions" })[0]?.value;
  const [votes, needed] = ["votes", "needed"].map((what) => told.machine?.sum(`php_cluster_quorum_${what}`));
  return {
    state: view === undefined ? "unknown" : view === "up" ? "well" : view === "drained" ? "worn" : "down",
    word: view === undefined ? "no balancer tells" : NODE_WORDS[view],
    rows: [
      total === undefined ? undefined : row("Workers", `${busy} of ${total} busy`, busy / total),
      waited === undefined ? undefined : row("Sessions' mount", waited === Infinity ? "lost" : waited < 2 ? "answers" : `silent for ${shown(waited)} s`),
      votes === undefined ? undefined : row("Bricks and arbiter", `${votes} reached, ${needed} needed`),
      disk("Disk", told, "/"), memory(told),
    ],
  };
}

function card(name, seen, holders) {
  const told = seen.machines[name];
  const made = !isThere(told)
    ? { state: "down", word: "does not answer", rows: [] }
    : cluster.balancers.includes(name) ? balancerCard(name, told, seen.clock) : nodeCard(name, told, seen.machines, holders);
  const load = told.machine?.sum("node_load1");
  return element("li", { "data-machine": name, "data-state": made.state },
    element("div", {}, element("h3", {}, name), element("span", { class: "address" }, cluster.addresses[name])),
    element("p", { class: "state" }, made.word),
    element("dl", {}, ...made.rows.filter(Boolean), row("Load", load === undefined ? undefined : shown(load, 2)) ?? ""));
}

/* The last day */

// What is drawn: a day, or less while that has all that is known. Hours, and the minutes between two marks.
const WINDOWS = [[1, 10, "The last hour"], [3, 30, "The last 3 hours"], [6, 60, "The last 6 hours"], [12, 120, "The last 12 hours"], [24, 180, "The last day"]];
let drawn = DAY, marks = 180;

function chooseWindow(now) {
  // A balancer that has just begun to look says so in its first line; one without such a line has looked for a day.
  const begins = Object.values(remembered).map(({ changes: [first] }) => (first?.[1] === "watched" && first[2] === "no" ? first[0] : 0));
  const wanted = now - Math.min(...begins);
  const [hours, minutes, title] = WINDOWS.find(([most]) => most * 3600 >= wanted) ?? WINDOWS.at(-1);
  [drawn, marks] = [hours * 3600, minutes];
  byId("day").textContent = title;
}

// Times with one value each of a name, as one balancer has noted it; none where it did not look.
function spans(known, name, now) {
  if (!known) return [];
  const from = now - drawn, until = now - known.looked > NOTED_SECONDS ? known.looked : now;
  const of = (wanted) => known.changes.filter((change) => change[1] === wanted);
  const cut = (changes, current) => {
    let value = changes.length ? changes[0][2] : current, begin = from;
    const cuts = changes.map(([when, , , next]) => {
      const span = { begin, end: Math.max(from, when), value };
      [begin, value] = [span.end, next];
      return span;
    });
    return [...cuts, { begin, end: until, value }].filter((span) => span.end > span.begin && span.value !== undefined);
  };
  const watched = cut(of("watched"), "yes").filter((span) => span.value === "yes");
  return cut(of(name), known.state[name]).flatMap((span) => watched
    .map((part) => ({ begin: Math.max(span.begin, part.begin), end: Math.min(span.end, part.end), value: span.value }))
    .filter((part) => part.end > part.begin));
}

function segment(span, now, kind, text) {
  const made = element("i", { "data-kind": kind, title: `${text}, ${clock(span.begin)} to ${clock(span.end)}` });
  made.style.left = `${((span.begin - now + drawn) * 100) / drawn}%`;
  made.style.width = `${((span.end - span.begin) * 100) / drawn}%`;
  return made;
}

const clock = (seconds, withSeconds = true) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: withSeconds ? "2-digit" : undefined });
const lane = (name, ...segments) => element("div", { class: "lane" }, element("span", {}, name), element("span", { class: "track" }, ...segments));

// What is worse is drawn over what is better; below all: not known.
function kinds(now, name, ...views) {
  const order = ["well", "worn", "down"];
  const parts = views.flatMap(([known, key, kindOf]) => spans(known, key, now).map((span) => ({ span, kind: kindOf(span.value), key })))
    .filter((part) => part.kind).sort((one, other) => order.indexOf(one.kind) - order.indexOf(other.kind));
  const known = parts.filter((part) => part.kind === "well").map((part) => segment(part.span, now, "well", `${name}: as it should be`));
  const bad = parts.filter((part) => part.kind !== "well").map((part) => segment(part.span, now, part.kind, `${name}: ${part.span.value}`));
  return lane(name, ...gaps(parts.map((part) => part.span), now).map((gap) => segment(gap, now, "unknown", `${name}: not known`)), ...known, ...bad);
}

// What no span covers.
function gaps(covered, now) {
  const found = [];
  let until = now - drawn;
  for (const { begin, end } of [...covered].sort((one, other) => one.begin - other.begin)) {
    if (begin > until + NOTED_SECONDS) found.push({ begin: until, end: begin });
    until = Math.max(until, end);
  }
  if (now > until + NOTED_SECONDS) found.push({ begin: until, end: now });
  return found;
}

function lanes(now) {
  const views = cluster.balancers.map((name) => remembered[name]);
  const held = cluster.balancers.flatMap((name, index) => spans(remembered[name], "address", now).filter((span) => span.value === "yes").map((span) => {
    const made = segment(span, now, "holder", `${name} has the floating IP`);
    if (index) made.setAttribute("data-second", "");
    made.textContent = span.end - span.begin > drawn / 24 ? name : "";
    return { made, span };
  }));
  const either = (good) => (value) => (value === good ? "well" : "down");
  const rows = [lane("Floating IP", ...gaps(held.map((each) => each.span), now).map((gap) => segment(gap, now, "unknown", "not known")), ...held.map((each) => each.made))];
  cluster.balancers.forEach((name, index) => rows.push(kinds(now, name,
    [views[1 - index], "peer", either("up")], [views[index], "haproxy", either("up")], [views[index], "ready", either("yes")], [views[index], "brick/sessions", either("up")])));
  for (const node of cluster.nodes)
    rows.push(kinds(now, node, ...views.map((known) => [known, `node/${node}`, (value) => ({ up: "well", drained: "worn" })[value] ?? "down"])));
  const worn = (bad) => (value) => (value === bad ? "worn" : "well");
  rows.push(kinds(now, "Heal", ...views.flatMap((known) => ["sessions", "files"].map((volume) => [known, `heal/${volume}`, worn("pending")]))));
  rows.push(kinds(now, "Maintenance", ...views.map((known) => [known, "maintenance", worn("on")])));
  const axis = lane("");
  axis.classList.add("axis");
  const step = (matchMedia("(max-width: 36rem)").matches ? 2 : 1) * marks * 60, zone = new Date().getTimezoneOffset() * 60;
  for (let tick = Math.floor((now - zone) / step) * step + zone; tick > now - drawn; tick -= step) {
    const share = (tick - now + drawn) / drawn;
    if (share < 0.04 || share > 0.95) continue;
    const label = element("span", {}, clock(tick, false));
    label.style.left = `${share * 100}%`;
    axis.lastChild.append(label);
  }
  return [...rows, axis];
}

// A change in words, and how bad it is; undefined: another line says it.
function inWords(by, [, name, , value]) {
  const [kind, what] = name.split("/"), other = cluster.balancers.find((each) => each !== by);
  const good = (isGood, yes, no, bad = "down") => (isGood ? ["well", yes] : [bad, no]);
  switch (kind) {
    case "address": return value === "yes" ? ["well", `${by} has the floating IP`] : ["worn", `${by} has no longer the floating IP`];
    case "peer": return good(value === "up", `${other} answers ${by} again`, `${other} does not answer ${by}`);
    case "node": return good(value === "up", `${what} is in service`, `${what} ${NODE_WORDS[value]}`, value === "drained" ? "worn" : "down");
    case "haproxy": return good(value === "up", `HAProxy of ${by} answers`, `HAProxy of ${by} does not answer`);
    case "ready": return good(value === "yes", `${by} may have the floating IP`, `${by} must not have the floating IP`);
    case "brick": return good(value === "up", `the brick of ${by} (${what}) runs`, `the brick of ${by} (${what}) does not run`);
    case "heal": return good(value === "none", `all of ${what} is healed from ${by}`, `a heal of ${what} from ${by} begins`, "worn");
    case "maintenance": return good(value === "off", `maintenance ends at ${by}`, `maintenance begins at ${by}`, "worn");
    case "watched": return value === "yes" ? ["unknown", `${by} notes changes from here on; of the time before it knows nothing`] : undefined;
  }
  return undefined;
}

function changes() {
  const lines = new Map();
  for (const by of cluster.balancers)
    for (const change of remembered[by]?.changes ?? []) {
      const words = inWords(by, change);
      if (!words) continue;
      // Both balancers see a node, each by itself.
      const same = `${Math.floor(change[0] / 10)} ${words[1]}`;
      const known = lines.get(same);
      if (known) known.by.push(by);
      else lines.set(same, { when: change[0], name: change[1], kind: words[0], text: words[1], by: [by] });
    }
  return [...lines.values()].sort((one, other) => other.when - one.when).slice(0, SHOWN_CHANGES);
}

/* Showing */

const changed = new Map();
// Leaves what is the same alone, so that a screen reader and a selection are not disturbed.
function show(id, nodes) {
  const text = nodes.map((node) => node.outerHTML).join("");
  if (changed.get(id) === text) return;
  changed.set(id, text);
  byId(id).replaceChildren(...nodes);
}

const COLOURS = { well: "#1f9d61", worn: "#d99a1c", risk: "#d99a1c", down: "#d6402a", unknown: "#8a8f99" };

function showVerdict({ state: kind, word, reasons }) {
  byId("verdict").dataset.state = kind;
  if (byId("word").textContent !== word) byId("word").textContent = word;
  show("reasons", reasons.map((reason) => element("li", {}, reason)));
  document.title = `${word} – ${cluster?.address || "Cluster"}`;
  const circle = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${COLOURS[kind]}"/></svg>`;
  byId("icon").href = `data:image/svg+xml,${encodeURIComponent(circle)}`;
}

function showAll(seen) {
  const verdict = judge(seen);
  showVerdict(verdict);
  show("figures", figures(seen, verdict).map(([id, name, value, unit, more]) => element("div", { "data-figure": id },
    element("dt", {}, name), element("dd", {}, value, " ", element("small", {}, unit)), element("dd", { class: "more" }, more), id === "requests" ? sparkline() : undefined)));
  show("machines", [...cluster.balancers, ...cluster.nodes].map((name) => card(name, seen, verdict.holders)));
  chooseWindow(seen.clock);
  show("lanes", lanes(seen.clock));
  const lines = changes();
  byId("no-changes").hidden = lines.length > 0;
  const today = new Date().toDateString();
  show("changes", lines.map((line) => element("li", { "data-kind": line.kind, "data-what": line.name, "data-by": line.by.join(" ") },
    element("time", { datetime: new Date(line.when * 1000).toISOString() }, `${new Date(line.when * 1000).toDateString() === today ? "" : "yesterday "}${clock(line.when)}`),
    element("span", {}, line.text, element("small", {}, `seen by ${line.by.join(" and ")}`)))));
}

async function tick() {
  if (!paused && !document.hidden) {
    cluster ??= await fetch("cluster.json", { signal: AbortSignal.timeout(PATIENCE_MS) }).then((answer) => answer.json()).catch(() => undefined);
    const seen = cluster ? await look() : null;
    const by = base ? cluster.balancers.find((name) => name !== cluster.self) : cluster?.self;
    document.body.dataset.live = seen ? "yes" : "no";
    if (seen) {
      byId("name").textContent = cluster.address;
      byId("told").textContent = `${clock(seen.clock)}, asked of ${by}`;
      showAll(seen);
      last = seen;
    } else {
      byId("told").textContent = last ? `no answer since ${clock(last.clock)}` : "no answer";
      showVerdict({ state: "unknown", word: "No balancer answers this page", reasons: last ? ["What follows is of the last answer"] : [] });
    }
  }
  setTimeout(tick, PAUSE_MS);
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", paused);
  document.body.dataset.live = "no";
});
tick();
