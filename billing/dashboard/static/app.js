// The page as a whole: addresses, requests, the stream, and one render per animation frame.

import { render } from "./vendor/preact.mjs";
import { thresholdText } from "./format.js";
import { answered, connected, cut, folded, health, initial, keepAnswers, paused, unlisted } from "./store.js";
import { Stream, ask } from "./stream.js";
import { html } from "./parts.js";
import { READY, Strips, TopBar, isStale, nextTheme } from "./frame.js";
import { Alerts, alertsPath } from "./alerts.js";
import { Customer, customerNeeds, paths } from "./customer.js";
import { HISTORY, PIPELINE, Pipeline, pipelineNeeds } from "./pipeline.js";
import { OVERVIEW, Spend, spendNeeds } from "./spend.js";

const ROWS = 50;
const ROWS_MOST = 500;
const HIDDEN_MS = 30_000;
const SPEAK_MS = 5000;
const TICK_MS = 500;

let state = initial(Date.now());
let route = routeOf(location);
let rows = ROWS;
let chosen = localStorage.getItem("theme") ?? "system";
let lastCustomer = sessionStorage.getItem("customer");
let nextFrame = null;
const asked = new Set();

// ── Address ─────────────────────────────────────────────────────────────────────────────────────────────────────

function routeOf({ pathname, search }) {
  const query = new URLSearchParams(search);
  const customer = /^\/customers\/(.+)$/.exec(pathname);
  if (customer) return { view: "customer", id: decodeURIComponent(customer[1]), query };
  const view = { "/": "spend", "/alerts": "alerts", "/pipeline": "pipeline" }[pathname] ?? "lost";
  return { view, query };
}

function needs() {
  const { view, id, query } = route;
  if (view === "spend") return spendNeeds(query, rows);
  if (view === "customer") return customerNeeds(id, query, state);
  if (view === "alerts") return [alertsPath(query)];
  return view === "pipeline" ? pipelineNeeds() : [];
}

function streamPath() {
  const path = new URLSearchParams({ topics: "totals,alerts,pipeline", top: rows });
  if (route.view === "customer") path.set("customer", route.id);
  if (route.view === "spend" && route.query.get("state")) path.set("state", route.query.get("state"));
  return `/v1/stream?${path}`;
}

/** Opens what the address says; the view's heading takes the focus unless the same view only changed its filters. */
function opened(moved) {
  const before = route;
  route = routeOf(location);
  const same = before.view === route.view && before.id === route.id;
  if (!same) rows = ROWS;
  if (route.view === "customer") sessionStorage.setItem("customer", (lastCustomer = route.id));
  const lists = Object.keys(state.answers).filter((path) => path === READY || path === OVERVIEW || path.startsWith("/v1/customers?"));
  state = keepAnswers(state, [...needs(), ...lists]);
  if (!same) state = { ...state, rows: {}, lag_s: null };
  loadAll();
  if (!document.hidden) stream.open(streamPath());
  draw();
  if (moved && !same) focusHeading();
}

function focusHeading() {
  scrollTo(0, 0);
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const heading = document.querySelector("main h1, main h2");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }));
}

// ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────

async function load(path) {
  if (asked.has(path)) return;
  const sent = Date.now();
  asked.add(path);
  const answer = await ask(path);
  asked.delete(path);
  set((now) => answered(now, path, answer, sent));
  loadMissing();
}

const loadAll = () => [READY, ...needs()].forEach(load);
const loadMissing = () => needs().filter((path) => !(path in state.answers)).forEach(load);

/** Seconds after which an answer is asked for again while frames arrive; null: never. */
function refresh_s(path, entry) {
  if (entry.status === "failed") return 5;
  if (entry.status === "missing") return path.endsWith("/spend") ? 10 : null;
  if (path === READY) return isUneasy() ? 2 : 10;
  if (path === OVERVIEW) return 5;
  if (path === HISTORY) return null;
  if (path === PIPELINE) return state.pipeline ? 30 : 3;
  if (path.startsWith("/v1/customers?")) return entry.value.data.length === 0 || unlisted(entry, state.rows) ? 2 : 10;
  if (path.includes("/events?")) return entry.value.data.some((event) => event.outcome === "pending") ? 3 : 10;
  const moved = route.view === "customer" && hasMoved(state.rows[route.id], entry);
  if (route.view === "customer" && [paths(route.id).spend, paths(route.id).access].includes(path)) return moved ? 0.3 : 15;
  if (path.includes("window=")) return moved ? 3 : 15;
  return path.startsWith("/v1/alerts") ? 30 : 10;
}

/** Whether the stream has said something else of the customer since this answer was asked for. */
function hasMoved(row, { at, value }) {
  const told = value.total === undefined ? value.spend : value.total;
  return row?.at > at && (row.spend !== told || (value.limit !== undefined && row.limit !== value.limit));
}

/** Something is not as it should be, so what is waited for is asked for more often. */
function isUneasy() {
  return state.answers[READY].value?.ready === false || state.pipeline?.problems?.length > 0 || health(state, Date.now()).kind === "delayed";
}

function refresh(now) {
  if (state.paused || document.hidden || state.connection.kind === "cut") return;
  for (const path of [READY, ...needs()]) {
    const entry = state.answers[path];
    const seconds = entry && refresh_s(path, entry);
    if (seconds != null && now - entry.at >= seconds * 1000) load(path);
  }
  loadMissing();
}

// ── Stream ──────────────────────────────────────────────────────────────────────────────────────────────────────

const stream = new Stream({
  onOpen() {
    const healed = state.connection.kind === "cut";
    set((now) => connected(now, Date.now()));
    if (healed) {
      say("Connected again.");
      loadAll();
    }
  },
  onEvent(name, data) {
    const known = state.alerts.length;
    set((now) => folded(now, name, data, Date.now()));
    if (name === "alert" && state.alerts.length > known) say(`${data.customer}: ${thresholdText(data)}.`);
    if (name === "totals") refresh(Date.now());
    if (state.stale) {
      state = { ...state, stale: false };
      loadAll();
    }
  },
  onCut(retryAt) {
    if (state.connection.kind !== "cut") say("Connection lost. Figures stay as they were.");
    set((now) => cut(now, Date.now(), retryAt));
  },
});

function wake() {
  if (stream.path !== null) return;
  loadAll();
  stream.open(streamPath());
}

let hiding = null;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => stream.close(), HIDDEN_MS);
  else wake();
});
// A page that the browser keeps for the back button would keep one of the few connections to this host with it.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", wake);

// ── Actions ─────────────────────────────────────────────────────────────────────────────────────────────────────

const actions = {
  load,
  go(href) {
    history.pushState(null, "", href);
    opened(true);
  },
  more() {
    rows = Math.min(ROWS_MOST, rows + ROWS);
    load(needs().find((path) => path.startsWith("/v1/customers?")));
    stream.open(streamPath());
  },
  find(text) {
    const field = document.getElementById("find");
    field.value = text;
    field.focus();
  },
  async search(text) {
    const answer = await ask(paths(text).spend);
    actions.go(answer.status === "missing" ? `/?${new URLSearchParams({ q: text })}` : `/customers/${encodeURIComponent(text)}`);
  },
  togglePause() {
    const resumes = Boolean(state.paused);
    set((now) => paused(now, !resumes, Date.now()));
    if (resumes) loadAll();
  },
  retry: () => stream.retry(),
  nextTheme() {
    chosen = nextTheme(chosen);
    localStorage.setItem("theme", chosen);
    paint();
    draw();
  },
};

function paint() {
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  dispatchEvent(new Event("themechange"));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.hash || link.download || routeOf(link).view === "lost") return;
  event.preventDefault();
  actions.go(link.pathname + link.search);
});
addEventListener("popstate", () => opened(true));

// ── Speech ──────────────────────────────────────────────────────────────────────────────────────────────────────

const waiting = [];
let spokenAt = 0;

function say(text) {
  waiting.push(text);
}

/** New alerts and changes of the connection, batched, at most every 5 s. */
function speak(now) {
  if (!waiting.length || now - spokenAt < SPEAK_MS) return;
  spokenAt = now;
  const words = waiting.splice(0);
  const text = words.length > 3 ? `${words.length} new alerts and changes. ${words.at(-1)}` : words.join(" ");
  document.getElementById("status").textContent = text;
}

// ── Drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

function set(change) {
  state = change(state);
  draw();
}

function draw() {
  nextFrame ??= requestAnimationFrame(() => {
    nextFrame = null;
    render(html`<${Page} />`, document.getElementById("page"));
  });
}

const VIEWS = { spend: [Spend, "Spend"], customer: [Customer], alerts: [Alerts, "Alerts"], pipeline: [Pipeline, "Pipeline"], lost: [Lost, "Not found"] };

function Lost() {
  return html`<h1>Not found</h1><p>No view has this address. <a href="/">To the start</a></p>`;
}

function nearest() {
  for (const [path, entry] of Object.entries(state.answers)) {
    if (path.startsWith("/v1/customers?") && entry.value?.data.length) return entry.value.data[0].customer;
  }
  return null;
}

function Page() {
  const now = Date.now();
  const [View, title = route.id] = VIEWS[route.view];
  document.title = `${title} · keylane`;
  const id = lastCustomer ?? nearest();
  return html`<${TopBar} route=${route} state=${state} now=${now} actions=${actions} theme=${chosen} customer=${id && `/customers/${encodeURIComponent(id)}`} />
    <${Strips} state=${state} now=${now} actions=${actions} />
    <main id="content" class="wide ${isStale(state, now) ? "stale" : ""}" tabindex="-1">
      <${View} key=${title} state=${state} query=${route.query} id=${route.id} rows=${rows} now=${now} actions=${actions} />
    </main>`;
}

paint();
opened(false);
setInterval(() => {
  const now = Date.now();
  refresh(now);
  speak(now);
  if (!document.hidden) draw();
}, TICK_MS);
