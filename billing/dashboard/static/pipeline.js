// Pipeline: does it keep up, what holds it back, what was rejected?

import { Component } from "./vendor/preact.mjs";
import { UNKNOWN, age, ago, clock, count, duration, ownZone, rate } from "./format.js";
import { health, trend } from "./store.js";
import { Chart } from "./chart.js";
import { Chip, GhostValue, Icon, Id, Ordered, Panel, Tile, Time, customerHref, html } from "./parts.js";
import { OVERVIEW } from "./spend.js";

export const PIPELINE = "/v1/pipeline";
export const HISTORY = "/v1/pipeline/history?seconds=300";
export const DEAD = "/v1/dead-letters?limit=50";
export const pipelineNeeds = () => [PIPELINE, OVERVIEW, HISTORY, DEAD];

export function Pipeline({ state, now, actions }) {
  const entry = state.answers[PIPELINE];
  const value = state.pipeline ?? entry?.value;
  const events = state.answers[OVERVIEW]?.value?.events;
  return html`<h1>Pipeline</h1><p class="sub">All workers. Times are in your zone, ${ownZone()}.</p>
    <${PipelineTiles} value=${value} state=${state} now=${now} />
    <${Charts} samples=${state.samples} history=${state.answers[HISTORY]} />
    <${Panel} id="partitions" title="Partitions, worst first" entry=${value ? { status: entry?.status === "failed" ? "failed" : "ready", error: entry?.error, value } : entry} rows=${8} retry=${() => actions.load(PIPELINE)}>
      ${value && html`<${Partitions} value=${value} samples=${state.samples} now=${now} />`}
    <//>
    ${events && html`<${Balance} events=${events} />`}
    <${Rejected} entry=${state.answers[DEAD]} now=${now} retry=${() => actions.load(DEAD)} />`;
}

function PipelineTiles({ value, state, now }) {
  const show = (known, shown = count) => (known != null ? shown(known) : value ? UNKNOWN : html`<${GhostValue} />`);
  const lag = value?.lag;
  const seconds = worst(value?.partitions, "lag_s");
  const latency = value?.latency_s;
  const lanes = value?.lanes;
  return html`<dl class="tiles pipeline-tiles" aria-label="Now">
    <${Tile} lead label="Behind by" tone=${seconds > 10 ? "warning" : ""} note=${lag == null ? "events behind unknown" : `${count(lag)} events behind`}>${seconds === null ? show(lag, (events) => `${count(events)} events`) : age(seconds)}<//>
    <${Tile} label="Events" note="counted per second">${show(value?.events_per_s, rate)}<//>
    <${Tile} label="Freshness" note="age of the data">${show(health(state, now).age_s ?? value?.freshness_s, age)}<//>
    <${Tile} label="Event to total" note=${latency ? `p99 ${duration(latency.p99)}` : "p50"}>${show(latency?.p50, duration)}<//>
    <${Tile} label="Lanes running" note=${lanes ? `of ${count(lanes.limit)} · ${count(lanes.ready)} ready` : "of allowed"}>${show(lanes?.running)}<//>
    <${Tile} label="Workers" note=${value?.durability ? `durability: ${value.durability}` : ""} tone=${value?.workers === 0 ? "bad" : ""}>${show(value?.workers)}<//>
  </dl>`;
}

const worst = (partitions, name) => (partitions ?? []).reduce((most, p) => (p[name] != null && (most === null || Number(p[name]) > most) ? Number(p[name]) : most), null);

/** The last five minutes: from the server where it keeps them, and from what the stream said since. */
class Charts extends Component {
  shouldComponentUpdate(next) {
    return next.samples !== this.props.samples || next.history !== this.props.history;
  }
  render({ samples, history }) {
    const known = (history?.value?.data ?? []).map((row) => ({ at: Date.parse(row.time), per_s: row.events_per_s, in_per_s: row.in_per_s, lag: row.lag }));
    const start = samples[0]?.at ?? Infinity;
    const end = samples.at(-1)?.at ?? Date.now();
    const all = [...known.filter((row) => row.at < start), ...samples].filter((row) => row.at > end - 300_000);
    const last = all.at(-1);
    const chart = (id, title, format, fields, now) => html`<${Panel} id=${id} title=${title} entry=${{ value: all }}>
      <${Chart} points=${all.map((row) => ({ at: row.at, values: fields.map(([field]) => row[field] ?? null) }))} series=${fields.map(([, name]) => ({ name }))} kind="lines" format=${format}
        label=${(point) => clock(point.at)} span=${[end - 300_000, end]} height=${180} sentence=${last ? `Last 5 minutes, now ${now == null ? "unknown" : format(now)}` : "Last 5 minutes"} empty="Filling as frames arrive." /><//>`;
    const incoming = all.some((row) => row.in_per_s != null);
    return html`<div class="pair">
      ${chart("flow", "Events per second", rate, [["per_s", "counted"], ...(incoming ? [["in_per_s", "in"]] : [])], last?.per_s)}
      ${chart("lag", "Events behind", count, [["lag", "behind"]], last?.lag)}
    </div>`;
  }
}

const STATES = { running: ["good"], paused: ["warning", "pause"], recovering: ["warning", "wait"], draining: ["warning", "wait"], unassigned: ["bad"] };

function stateOf(partition) {
  const [tone, icon] = STATES[partition.state] ?? ["plain", "info"];
  return html`<${Chip} tone=${tone} icon=${icon}>${partition.state}<//>`;
}

/** An event that is not done for a second holds its partition back; younger ones are the ordinary course. */
const holds = (held) => held != null && Number(held.age_s) >= 1;

/** Less than a second behind is the ordinary course: such partitions keep their places. */
const behind = (p) => (p.lag_s != null && p.lag_s < 1 ? 0 : (p.lag ?? 0));

/** Worst first: unknown and unassigned, then held back, then by lag. */
function worstFirst(a, b) {
  const weight = (p) => (p.lag == null || !p.worker ? 2 : holds(p.held_back_by) ? 1 : 0);
  return weight(b) - weight(a) || behind(b) - behind(a) || a.partition - b.partition;
}

class Partitions extends Ordered {
  render({ value, samples, now }, { inside }) {
    const known = new Map(value.partitions.map((p) => [`${p.topic}/${p.partition}`, p]));
    const order = this.ordered(known, () => [...known].sort(([, a], [, b]) => worstFirst(a, b)).map(([name]) => name));
    return html`<table class="cards partitions" ...${this.hold}>
      <thead><tr><th>Partition</th><th>State</th><th class="worker">Worker</th><th class="number">Behind</th><th>Trend</th><th class="number">In flight</th><th class="number ends">Counted to / end</th><th class="held">Held back by</th></tr></thead>
      <tbody>${order.map((name) => html`<${Partition} key=${name} partition=${known.get(name)} trend=${trend(samples, name, now)} />`)}</tbody></table>
      ${inside && html`<p class="foot muted"><${Icon} name="pause" />Order paused while you are in the table</p>`}`;
  }
}

function Partition({ partition: p, trend: moves }) {
  const held = p.held_back_by;
  return html`<tr>
    <td class="name">${p.topic} ${p.partition}</td><td class="state">${stateOf(p)}</td>
    <td class="worker muted">${p.worker ? html`<${Id} id=${p.worker} most=${18} />` : UNKNOWN}</td>
    <td class="number lag">${count(p.lag)}${p.lag_s != null && Number(p.lag_s) >= 1 ? html`<span class="muted"> · ${age(Number(p.lag_s))}</span>` : ""}</td>
    <td class="trend muted">${moves ? html`<span class="known">${moves.word}${moves.clears_s ? `, clears in ${duration(moves.clears_s)}` : ""}</span>` : UNKNOWN}</td>
    <td class="number in-flight">${count(p.in_flight)}${p.oldest_in_flight_s != null && Number(p.oldest_in_flight_s) >= 1 ? html`<span class="muted"> · ${age(Number(p.oldest_in_flight_s))}</span>` : ""}</td>
    <td class="number ends muted">${count(p.watermark)} / ${count(p.end)}</td>
    <td class="held">${holds(held) ? html`<span class="held-by"><${Icon} name="warning" /><span>offset ${count(held.offset)} for ${duration(held.age_s)}<span class="muted">key ${held.key_hash}${held.reason ? `, ${held.reason}` : ""}${held.attempts > 1 ? `, attempt ${held.attempts}` : ""}</span></span></span>` : html`<span class="muted">nothing</span>`}</td>
  </tr>`;
}

function Balance({ events }) {
  const parts = [["counted", events.counted, "/"], ["duplicates", events.duplicates_dropped], ["unmetered", events.unmetered], ["rejected", events.dead_lettered, "#rejected"], ["in flight", events.in_flight, "#partitions"]];
  return html`<p class="panel balance"><b>${count(events.accepted)} accepted =</b>
    ${parts.map(([word, number, href], i) => html`${i ? " + " : " "}<span key=${word} class="term">${href ? html`<a href=${href}>${count(number)} ${word}</a>` : `${count(number)} ${word}`}</span>`)}</p>`;
}

function Rejected({ entry, now, retry }) {
  const rows = entry?.value?.data ?? [];
  const groups = entry?.value?.groups ?? [];
  return html`<${Panel} id="rejected" title="Rejected events" entry=${entry} rows=${4} retry=${retry}>
    ${rows.length === 0 ? html`<p class="nothing">None. An event that cannot be counted is kept here with its reason.</p>` : html`
    <ul class="groups">${groups.map((g) => html`<li key=${g.error}><b class="number">${count(g.count)}</b> ${g.error}</li>`)}</ul>
    <table class="cards rejected"><thead><tr><th>Time</th><th>Customer</th><th>Error</th><th class="number">Attempts</th><th>From</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${`${row.topic}/${row.partition}/${row.offset}`}>
        <td class="when"><${Time} at=${row.time}>${ago(row.time, now)}<//></td>
        <td class="name">${row.customer ? html`<${Id} id=${row.customer} href=${customerHref(row.customer)} />` : html`<span class="muted">${UNKNOWN} unknown</span>`}</td>
        <td class="error">${row.error}</td><td class="number attempts">${count(row.attempts)}</td>
        <td class="from muted">${row.topic} ${row.partition} @ ${count(row.offset)}</td></tr>`)}</tbody></table>`}
  <//>`;
}
