// What the page knows, and how frames of the stream fold into it. Pure: every function returns a new state or a view
// of it; time is passed in as milliseconds.
//
// Values in frames are whole, never differences, so a lost frame heals with the next. `answers` holds what GET
// requests brought, by path; `live` holds what frames said since. A reader merges the two, the newer wins.

import { compare, scaled } from "./format.js";

export const DELAYED_S = 2;
export const SILENT_S = 10;
const PING_S = 6; // pings come every 5 s: a silence up to here says nothing about the age of the data
const ALERTS_KEPT = 200;
const HISTORY_S = 300;
const TREND_S = 20;

export function initial(now) {
  return {
    answers: {},
    connection: { kind: "connecting", since: now, retryAt: null },
    frameAt: null,
    freshness_s: null,
    lag_s: null,
    asOf: { totals: 0, pipeline: 0 },
    rows: {},
    currencies: null,
    alerts: [],
    pipeline: null,
    samples: [],
    paused: null,
    stale: false,
  };
}

// ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * An answer to `path` arrived: {status: "ready", value} | {status: "missing"} | {status: "failed", error}. While paused
 * a figure that is shown stays as it is.
 */
export function answered(state, path, answer, now) {
  if (state.paused && state.answers[path]?.status === "ready") return state;
  const kept = answer.status === "failed" ? state.answers[path]?.value : undefined;
  const entry = { ...answer, at: now, value: answer.value ?? kept };
  return { ...state, answers: { ...state.answers, [path]: entry } };
}

/** The answers to `paths` only: what other views asked for is dropped when a view opens. */
export function keepAnswers(state, paths) {
  const answers = Object.fromEntries(paths.filter((p) => state.answers[p]).map((p) => [p, state.answers[p]]));
  return { ...state, answers };
}

// ── Frames ──────────────────────────────────────────────────────────────────────────────────────────────────────

const FOLDS = {
  hello: (state) => state,
  ping: (state) => state,
  reload: (state) => ({ ...state, stale: true }),
  totals: foldTotals,
  alert: foldAlert,
  pipeline: foldPipeline,
};

/** One frame of the stream. While paused only the number of waiting frames rises. */
export function folded(state, name, data, now) {
  if (!FOLDS[name]) return state;
  const heard = { ...state, frameAt: now };
  if (state.paused) {
    const waits = name === "totals" || name === "alert" || name === "pipeline";
    return waits ? { ...heard, paused: { ...state.paused, waiting: state.paused.waiting + 1 } } : heard;
  }
  const fresh = data.freshness_s === undefined ? heard : { ...heard, freshness_s: data.freshness_s };
  return FOLDS[name](fresh, data, now);
}

function foldTotals(state, data, now) {
  const asOf = Date.parse(data.as_of);
  if (asOf < state.asOf.totals) return state;
  const rows = { ...state.rows };
  for (const row of data.rows) {
    const before = state.rows[row.customer];
    const same = before && ["spend", "allowed", "limit"].every((name) => before[name] === row[name]);
    // `at`: since when it says so; `movedAt`: the moment of the data in which it was seen to move
    rows[row.customer] = { ...row, at: same ? before.at : now, asOf, movedAt: same ? before.movedAt : before && asOf };
  }
  return { ...state, rows, currencies: data.currencies, lag_s: data.lag_s ?? null, asOf: { ...state.asOf, totals: asOf } };
}

function foldAlert(state, data) {
  if (state.alerts.some((alert) => alert.id === data.id)) return state;
  return { ...state, alerts: [data, ...state.alerts].slice(0, ALERTS_KEPT) };
}

function foldPipeline(state, data, now) {
  const asOf = Date.parse(data.as_of);
  if (asOf < state.asOf.pipeline) return state;
  return { ...state, pipeline: data, samples: sampled(state.samples, data, now), asOf: { ...state.asOf, pipeline: asOf } };
}

// ── Connection ──────────────────────────────────────────────────────────────────────────────────────────────────

export function connected(state, now) {
  return { ...state, connection: { kind: "open", since: now, retryAt: null }, frameAt: now };
}

export function cut(state, now, retryAt) {
  const since = state.connection.kind === "cut" ? state.connection.since : now;
  return { ...state, connection: { kind: "cut", since, retryAt } };
}

export function paused(state, on, now) {
  return { ...state, paused: on ? { since: now, waiting: 0 } : null };
}

/**
 * What the chip says: kind is "connecting", "paused", "cut", "delayed" or "live"; age_s is the age of the data, on a
 * customer's page of that customer's.
 */
export function health(state, now) {
  const silence_s = state.frameAt === null ? 0 : (now - state.frameAt) / 1000;
  const told_s = state.lag_s ?? state.freshness_s;
  const age_s = told_s === null ? null : told_s + (silence_s > PING_S ? silence_s : 0);
  const kind = () => {
    if (state.paused) return "paused";
    if (state.connection.kind === "cut") return "cut";
    if (state.connection.kind === "connecting") return "connecting";
    return age_s !== null && age_s > DELAYED_S ? "delayed" : "live";
  };
  return { kind: kind(), age_s, silence_s };
}

// ── Customers ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The rows of a list answer with what the stream said since; one that moved had an event, by then at the latest. */
export function merged(entry, live) {
  const listed = Date.parse(entry.value.as_of);
  return entry.value.data.map((row) => {
    const newer = live[row.customer];
    if (!(newer?.asOf >= listed)) return row;
    return { ...row, ...newer, ...(newer.movedAt > listed ? { last_event: new Date(newer.movedAt).toISOString() } : {}) };
  });
}

/** Customers in frames that the list does not hold: a reason to ask for the list again. */
export function unlisted(entry, live) {
  const known = new Set(entry.value.data.map((row) => row.customer));
  return Object.values(live).some((row) => row.at > entry.at && !known.has(row.customer));
}

const isPriced = (row) => row.spend != null && row.plan != null;

/** "near" from 80 % (as a filter it holds those at their limit too), "at" when reached, "none" without a limit, "unpriced" without a plan, else "below". */
export function standing(row) {
  if (!isPriced(row)) return "unpriced";
  if (row.limit == null) return "none";
  if (compare(row.spend, row.limit) >= 0) return "at";
  return scaled(row.spend) * 5n >= scaled(row.limit) * 4n ? "near" : "below";
}

export function matches(row, filter) {
  const found = standing(row);
  return !filter || filter === "all" || found === filter || (filter === "near" && found === "at");
}

/** Ids in order, as the server has it: the nearest to its limit first, then by currency and spend, then without prices. */
export function arranged(rows, order) {
  const byShare = (a, b) => {
    if (a.limit == null || b.limit == null) return (a.limit == null) - (b.limit == null) || byAmount(a, b);
    const left = scaled(a.spend ?? "0") * scaled(b.limit);
    const right = scaled(b.spend ?? "0") * scaled(a.limit);
    return left < right ? 1 : left > right ? -1 : byAmount(a, b);
  };
  const byName = (a, b) => (a.customer < b.customer ? -1 : 1);
  const by = order === "-spend" ? byAmount : byShare;
  return [...rows].sort((a, b) => by(a, b) || byName(a, b)).map((row) => row.customer);
}

function byAmount(a, b) {
  if (isPriced(a) !== isPriced(b)) return isPriced(a) ? -1 : 1;
  if ((a.currency ?? "") !== (b.currency ?? "")) return (a.currency ?? "") < (b.currency ?? "") ? -1 : 1;
  return compare(b.spend ?? "0", a.spend ?? "0");
}

/** Newest first, each id once: what the list answered and what the stream said. */
export function newestAlerts(entry, live) {
  const all = new Map([...live, ...(entry?.value?.data ?? [])].map((alert) => [alert.id, alert]));
  return [...all.values()].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
}

// ── Pipeline ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The samples of the last five minutes, at most one a second: {at, per_s, in_per_s, lag, lags: {topic/partition: lag}}. */
export function sampled(samples, pipeline, now) {
  const last = samples.at(-1);
  if (last && now - last.at < 900) return samples;
  const lags = Object.fromEntries(pipeline.partitions.map((p) => [`${p.topic}/${p.partition}`, p.lag]));
  const sample = { at: now, per_s: pipeline.events_per_s, in_per_s: pipeline.in_per_s, lag: pipeline.lag, lags };
  return [...samples.filter((s) => now - s.at <= HISTORY_S * 1000), sample];
}

/** How a partition's lag moved over the last 20 s: {word, clears_s}, or null while too little is known. */
export function trend(samples, name, now) {
  const points = samples.filter((s) => now - s.at <= TREND_S * 1000 && s.lags[name] != null);
  if (points.length < 3) return null;
  const [first, last] = [points[0], points.at(-1)];
  const seconds = (last.at - first.at) / 1000;
  if (seconds < 3) return null;
  const slope = (last.lags[name] - first.lags[name]) / seconds;
  const noise = Math.max(5, last.lags[name] * 0.05) / seconds;
  if (Math.abs(slope) < noise || !last.lags[name]) return { word: "steady", clears_s: null };
  return slope > 0 ? { word: "growing", clears_s: null } : { word: "shrinking", clears_s: last.lags[name] / -slope };
}
