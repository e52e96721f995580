// Customer: how much, for what, when does it stop, is access open?

import { Component } from "./vendor/preact.mjs";
import { UNKNOWN, age, ago, compare, day, dayTime, groupText, money, month, percentOfLimit, period, quantity, remaining, sumOf } from "./format.js";
import { newestAlerts } from "./store.js";
import { AlertList } from "./alerts.js";
import { Chart, atDayTime } from "./chart.js";
import { Bar, Chip, Choice, Empty, Ghost, GhostValue, Icon, Id, Panel, Quantity, Time, address, customerHref, html } from "./parts.js";

const SERIES_MOST = 4;
const DAY_MS = 86_400_000;
const HOURS_MS = 2 * DAY_MS; // that a chart by the hour goes back

const base = (id) => `/v1/customers/${encodeURIComponent(id)}`;
export const paths = (id) => ({
  spend: `${base(id)}/spend`,
  access: `${base(id)}/access`,
  events: (outcome) => `${base(id)}/events?${new URLSearchParams({ limit: 10, ...(outcome ? { outcome } : {}) })}`,
  alerts: `/v1/alerts?${new URLSearchParams({ customer: id, order: "-time" })}`,
  series: (window) => `${base(id)}/spend/series?window=${window}`,
  usage: (meter, window, groups) => `${base(id)}/usage?${new URLSearchParams({ meter, window, ...(groups.length ? { group_by: groups.join() } : {}) })}`,
});

/** What the view shows in its chart comes from the address: show=day|hour|total or meter=<name>. */
export function chartPath(id, query, state) {
  const window = query.get("show") === "hour" ? "hour" : "day";
  const meter = query.get("meter");
  return meter ? paths(id).usage(meter, window, groupsOf(state.answers[paths(id).spend]?.value, meter)) : paths(id).series(window);
}

/** The names of the groups by which a meter's usage was priced. */
function groupsOf(spend, meter) {
  const lines = [...(spend?.lines ?? []), ...(spend?.unpriced ?? [])].filter((line) => line.meter === meter);
  return [...new Set(lines.flatMap((line) => Object.keys(line.group)))].sort();
}

export function customerNeeds(id, query, state) {
  const { spend, access, events, alerts } = paths(id);
  return [spend, access, chartPath(id, query, state), alerts, events(query.get("outcome"))];
}

export function Customer({ id, state, query, now, actions }) {
  const p = paths(id);
  const spend = state.answers[p.spend];
  if (spend?.status === "missing") return html`<${Unknown} id=${id} actions=${actions} />`;
  const zone = spend?.value?.time_zone;
  return html`<h1 class="id"><${Id} id=${id} most=${48} /></h1>
    <${Head} spend=${spend} access=${state.answers[p.access]} zone=${zone} latency_s=${state.pipeline?.latency_s?.p99} retry=${() => actions.load(p.spend)} />
    <div class="beside">
      <div class="stack">
        <${SpendChart} id=${id} state=${state} query=${query} spend=${spend?.value} zone=${zone} actions=${actions} />
        <${Lines} entry=${spend} zone=${zone} retry=${() => actions.load(p.spend)} />
        <${Events} id=${id} query=${query} entry=${state.answers[p.events(query.get("outcome"))]} now=${now} zone=${zone} actions=${actions} />
      </div>
      <${Panel} id="own-alerts" title="Alerts" entry=${state.answers[p.alerts]} rows=${4} className="alerts-beside" retry=${() => actions.load(p.alerts)} side=${html`<a href=${address("/alerts", "", { customer: id })}>All of them</a>`}>
        <${AlertList} alerts=${newestAlerts(state.answers[p.alerts], state.alerts.filter((a) => a.customer === id)).slice(0, 8)} now=${now} zone=${zone} named=${false} />
      <//>
    </div>`;
}

function Unknown({ id, actions }) {
  return html`<h1 class="id"><${Id} id=${id} most=${48} /></h1><${Empty} title="No such customer"><p>No customer matches '${id}': neither the catalog nor any event names it.</p>
    <p><button onClick=${() => actions.find(id)}><${Icon} name="search" />Search again</button> <a href="/">All customers</a></p><//>`;
}

function Head({ spend, access, zone, latency_s, retry }) {
  if (spend?.status === "failed" && !spend.value) return html`<${Panel} id="spend-head" title="Spend" entry=${spend} retry=${retry} />`;
  const value = spend?.value;
  if (!value) return html`<section class="panel hero" aria-busy="true"><${Ghost} rows=${4} /></section>`;
  const open = access?.value;
  const { total, limit, currency } = value;
  const percent = percentOfLimit(total, limit);
  const marks = thresholdMarks(value);
  return html`<section class="panel hero" aria-label="Spend and access">
    <div class="hero-figures">
      <div><p class="label">Spend, ${period(value.period, zone)}</p>
        <p class="figure"><span class="amount">${money(total, currency)}</span>
          <span class="of">${total == null ? "not priced" : limit == null ? "no limit" : html`of ${money(limit, currency)}`}</span></p></div>
      <${Door} access=${open} failed=${access?.status === "failed"} zone=${zone} />
    </div>
    ${limit != null && html`<div class="hero-bar"><${Bar} spend=${total} limit=${limit} marks=${marks} large />
      <span class="number">${percent} %</span></div>`}
    <dl class="facts">
      ${limit != null && html`<div><dt>Remaining</dt><dd>${money(remaining(total ?? "0", limit), currency)}</dd></div>`}
      <div><dt>${limit != null ? "Resets" : "Period ends"}</dt><dd>${dayTime(value.period.end, zone)} ${zone}</dd></div>
      ${value.credits_applied != null && html`<div><dt>Credits applied</dt><dd>${money(value.credits_applied, currency)}</dd></div>`}
      ${value.projected != null && html`<div><dt>At this pace</dt><dd>${money(value.projected, currency)} by ${day(Date.parse(value.period.end) - 1, zone)} <span class="muted">(estimate)</span></dd></div>`}
      ${value.plan && html`<div><dt>Plan</dt><dd>${value.plan}</dd></div>`}
    </dl>
    ${limit != null && html`<p class="within muted">The limit closes access as soon as it is reached${latency_s == null ? "" : `: now within ${age(Math.ceil(latency_s * 10) / 10)} of the event`}.</p>`}
  </section>`;
}

const thresholdMarks = ({ thresholds, limit }) => (thresholds ?? []).map((t) => Number(t.amount) / Number(limit)).filter((mark) => mark > 0 && mark < 1);

function Door({ access, failed, zone }) {
  if (failed && !access) return html`<${Chip} tone="warning">Access unknown<//>`;
  if (!access) return html`<${GhostValue} />`;
  if (access.allowed) return html`<${Chip} tone="good">Open<//>`;
  return html`<span class="door"><${Chip} tone="bad">Closed: ${access.reason}<//><span class="muted">Opens ${dayTime(access.resets_at, zone)} ${zone}</span></span>`;
}

function Lines({ entry, zone, retry }) {
  const value = entry?.value;
  const several = value?.lines.some((line) => Object.keys(line.group).length);
  return html`<${Panel} id="lines" title="What it is made of" entry=${entry} retry=${retry} side=${value && html`<span class="muted">${month(value.period.start, zone)}</span>`}>
    ${value?.lines.length === 0 ? html`<p class="nothing">No line yet: nothing that a rate prices was used in this period.</p>` : value && html`
    <table class="cards lines"><thead><tr><th>Rate</th>${several && html`<th>Group</th>`}<th class="number">Quantity</th><th>Price</th><th class="number">Amount</th></tr></thead>
      <tbody>${value.lines.map((line) => html`<tr key=${line.rate}><td class="name">${line.rate}</td>${several && html`<td class="group muted">${groupText(line.group)}</td>`}
          <td class="number quantity"><${Quantity} of=${line.quantity} /> <span class="unit muted">${line.meter}</span></td>
          <td class="price muted">${line.rate_text}</td>
          <td class="number spend">${money(line.amount, value.currency)}</td></tr>`)}</tbody>
      <tfoot><tr><th scope="row">Total</th>${several && html`<td class="filler"></td>`}<td class="filler"></td><td class="filler"></td><td class="number spend">${money(value.total, value.currency)}</td></tr></tfoot>
    </table>`}
    ${value?.unpriced?.length > 0 && html`<details class="muted"><summary>Metered and not priced: ${[...new Set(value.unpriced.map((u) => u.meter))].join(", ")}</summary>
      <ul>${value.unpriced.map((u) => html`<li key=${u.meter + groupText(u.group)}>${u.meter}, ${groupText(u.group)}: <span class="number">${quantity(u.quantity).exact}</span></li>`)}</ul></details>`}
  <//>`;
}

const OUTCOMES = { counted: ["good"], duplicate: ["plain", "copy"], rejected: ["bad"], unmetered: ["plain", "info"], pending: ["warning", "wait"] };

function Events({ id, query, entry, now, zone, actions }) {
  const rows = entry?.value?.data ?? [];
  const outcome = query.get("outcome");
  const go = (chosen) => actions.go(address(customerHref(id), query, { outcome: chosen || null }));
  const side = html`<select aria-label="Outcome" value=${outcome ?? ""} onChange=${(e) => go(e.target.value)}>
    <option value="">All outcomes</option>${Object.keys(OUTCOMES).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`;
  return html`<${Panel} id="events" title="Recent events" entry=${entry} rows=${5} className="recent" side=${side} retry=${() => actions.load(paths(id).events(outcome))}>
    ${rows.length === 0 ? html`<p class="nothing">No ${outcome ?? ""} event of this customer in reach.</p>` : html`
    <table class="cards events"><thead><tr><th>Time</th><th>Event</th><th>Outcome</th><th>Meters or reason</th></tr></thead>
      <tbody>${rows.map((event, i) => {
        const [tone, icon] = OUTCOMES[event.outcome];
        return html`<tr key=${`${event.partition}/${event.offset}/${i}`}>
        <td class="when"><${Time} at=${event.arrival}>${ago(event.arrival, now, zone)}<//></td>
        <td class="name"><${Id} id=${event.id ?? UNKNOWN} most=${24} /> <span class="muted">${event.type ?? ""}</span></td>
        <td class="outcome"><${Chip} tone=${tone} icon=${icon}>${event.outcome}<//></td>
        <td class="meters muted">${event.error ?? (event.meters.join(", ") || "none")}</td></tr>`;
      })}</tbody></table>`}
  <//>`;
}

// ── Chart ───────────────────────────────────────────────────────────────────────────────────────────────────────

class SpendChart extends Component {
  shouldComponentUpdate(next) {
    return ["id", "query", "spend", "zone"].some((name) => next[name] !== this.props[name]) || this.entry(next) !== this.shown;
  }
  entry({ id, query, state }) {
    return state.answers[chartPath(id, query, state)];
  }
  render({ id, state, query, spend, zone, actions }) {
    const path = chartPath(id, query, state);
    const entry = (this.shown = state.answers[path]);
    const usage = path.includes("/usage?");
    const meter = usage ? new URLSearchParams(path.split("?")[1]).get("meter") : null;
    const shown = query.get("show") ?? "day";
    const show = usage && shown === "total" ? "day" : shown; // quantities of days need not add up: unique, max, latest
    const go = (changes) => actions.go(address(customerHref(id), query, changes));
    const meters = [...new Set((spend?.lines ?? []).map((line) => line.meter))];
    const side = html`<span class="side"><select aria-label="Show in the chart" value=${meter ?? ""} onChange=${(e) => go({ meter: e.target.value || null })}>
        <option value="">Spend</option>${meters.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
      <${Choice} label="Window" value=${show} options=${[["day", "Day"], ["hour", "Hour"], ...(usage ? [] : [["total", "Cumulative"]])]} onChange=${(name) => go({ show: name === "day" ? null : name })} /></span>`;
    const drawn = entry?.value ? shape(entry.value, { usage, show, zone, spend, meter, currency: spend?.currency }) : null;
    return html`<${Panel} id="over-time" title="Over time" entry=${entry} rows=${7} retry=${() => actions.load(path)} side=${side}>
      ${drawn && html`<${Chart} ...${drawn} zone=${zone} />`}
    <//>`;
  }
}

/** Rows of an answer as points: one a window, one value a line; the smallest lines beyond four are "other". */
function shape(value, { usage, show, zone, spend, meter, currency }) {
  const nameOf = (row) => (usage ? groupText(row.group) === "all" ? meter : groupText(row.group) : row.rate);
  const amountOf = (row) => (usage ? row.value : row.amount);
  const sizes = new Map();
  for (const row of value.data) sizes.set(nameOf(row), sumOf([sizes.get(nameOf(row)) ?? "0", amountOf(row)]));
  const ranked = [...sizes].sort((a, b) => compare(b[1], a[1])).map(([name]) => name);
  const names = ranked.length > SERIES_MOST + 1 ? [...ranked.slice(0, SERIES_MOST), "other"] : ranked;
  const windows = new Map();
  for (const row of value.data) {
    const at = Date.parse(row.start);
    if (!windows.has(at)) windows.set(at, { at, end: Date.parse(row.end), values: names.map(() => "0") });
    const slot = names.indexOf(nameOf(row));
    const { values } = windows.get(at);
    const place = slot < 0 ? names.length - 1 : slot;
    values[place] = sumOf([values[place], amountOf(row)]);
  }
  let points = [...windows.values()].sort((a, b) => a.at - b.at);
  const now = Date.parse(value.as_of ?? new Date().toISOString());
  points.forEach((point) => { point.soFar = point.end > now; });
  const format = usage ? (v) => quantity(v).text : (v) => money(v, currency);
  const exactly = usage ? (v) => quantity(v).exact : format;
  const total = show === "total";
  const last = points.at(-1)?.end ?? now;
  const { start, end } = spend?.period ?? { start: points[0]?.at ?? now - DAY_MS, end: last };
  const span = show === "hour" ? [last - HOURS_MS, last] : [new Date(start).getTime(), new Date(end).getTime()];
  points = total ? accumulated(points, span[0], now) : points.filter((point) => point.at >= span[0]);
  return {
    points, span, series: total ? [{ name: "Spend so far" }] : names.map((name) => ({ name })), kind: total ? "lines" : "bars", format, exactly,
    empty: !usage && value.total == null ? "Nothing of this customer is priced." : undefined,
    label: atDayTime(zone), ticks: show === "hour" ? dayTime : day,
    ceiling: total && spend?.limit != null ? { value: Number(spend.limit), text: `Limit ${money(spend.limit, currency)}` } : null,
    sentence: sentence(points, { what: usage ? meter : "Spend", show, zone, format }),
  };
}

/** Windows as a line from the start of the period until now; where no window is, it stays level. */
function accumulated(points, start, now) {
  let sum = "0";
  const steps = [{ at: start, values: [sum] }];
  const reach = (at) => at > steps.at(-1).at && steps.push({ at, values: [sum] });
  for (const { at, end, values } of points) {
    reach(at);
    sum = sumOf([sum, ...values]);
    reach(Math.min(end, now));
  }
  reach(now);
  return points.length ? steps : [];
}

function sentence(points, { what, show, zone, format }) {
  const time = show === "hour" ? dayTime : day;
  if (!points.length) return `${what} per ${show === "hour" ? "hour" : "day"}`;
  const range = `${day(points[0].at, zone)} to ${day(points.at(-1).at, zone)}`;
  const sums = points.map((point) => sumOf(point.values));
  if (show === "total") return `${what}, cumulative, ${range}: ${format(sums.at(-1))} so far`;
  const most = sums.reduce((best, sum, i) => (compare(sum, sums[best]) > 0 ? i : best), 0);
  if (points.length === 1) return `${what} on ${time(points[0].at, zone)}: ${format(sums[0])}`;
  return `${what} per ${show === "hour" ? "hour" : "day"}, ${range}, highest ${format(sums[most])} on ${time(points[most].at, zone)}`;
}
