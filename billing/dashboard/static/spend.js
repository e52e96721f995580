// Spend: who spends, who is near a limit, what fired, is it right?

import { Component } from "./vendor/preact.mjs";
import { UNKNOWN, age, ago, count, money, ownZone, rate } from "./format.js";
import { arranged, health, matches, merged, newestAlerts, standing } from "./store.js";
import { AlertList } from "./alerts.js";
import { Access, Ago, Choice, Command, Empty, GhostValue, Icon, Id, Ordered, Panel, Row, Share, Tile, address, customerHref, html } from "./parts.js";

const FILTERS = [["all", "All"], ["near", "80 % or more"], ["at", "At limit"], ["none", "No limit"], ["unpriced", "Not priced"]];
const ORDERS = ["-limit_share", "-spend"];
const AUDITS = { equal: "good", different: "bad", unknown: "warning" };
export const OVERVIEW = "/v1/overview";
export const NEWEST_ALERTS = "/v1/alerts?order=-time&limit=8";

export function spendPath(query, rows = 50) {
  const order = ORDERS.includes(query.get("order")) ? query.get("order") : "-limit_share";
  const path = new URLSearchParams({ order, limit: rows });
  for (const name of ["state", "q"]) if (query.get(name)) path.set(name, query.get(name));
  return `/v1/customers?${path}`;
}

export const spendNeeds = (query, rows) => [OVERVIEW, spendPath(query, rows), NEWEST_ALERTS];

const withQuery = (query, name, value) => address("/", query, { [name]: value });

export function Spend({ state, query, rows, now, actions }) {
  const overview = state.answers[OVERVIEW];
  const list = state.answers[spendPath(query, rows)];
  const nothing = nothingYet(overview, list, query, state);
  return html`<h1>Spend</h1><p class="sub">Times are in your zone, ${ownZone()}.</p>
    ${nothing ?? html`<${SpendTiles} state=${state} overview=${overview} now=${now} />
    <div class="beside">
      <${Customers} state=${state} list=${list} query=${query} now=${now} actions=${actions} path=${spendPath(query, rows)} />
      <${Panel} id="newest-alerts" title="Newest alerts" entry=${state.answers[NEWEST_ALERTS]} rows=${8} className="alerts-beside"
        retry=${() => actions.load(NEWEST_ALERTS)} side=${html`<a href="/alerts">All alerts</a>`}>
        <${AlertList} alerts=${newestAlerts(state.answers[NEWEST_ALERTS], state.alerts).slice(0, 8)} now=${now} code=${state.currencies?.length > 1 || overview?.value?.currencies.length > 1} />
      <//>
    </div>`}`;
}

function nothingYet(overview, list, query, state) {
  const known = overview?.value;
  const refused = [overview, list].some((entry) => entry?.status === "failed" && /no catalog/i.test(entry.error));
  if (refused || (known?.catalog && !known.catalog.version)) return html`<${NoCatalog} />`;
  const unfiltered = !query.get("state") && !query.get("q");
  const none = list?.value && unfiltered && list.value.data.every((row) => row.last_event == null);
  const accepted = known?.events ? known.events.accepted > 0 : false;
  return none && !accepted && Object.keys(state.rows).length === 0 ? html`<${NoEvents} row=${list.value.data[0]} />` : null;
}

function NoCatalog() {
  return html`<${Empty} title="No catalog yet"><p>A catalog names meters, plans, rates and customers. Check one, register it, then send events:</p>
    <${Command} text=${"billing check catalog.toml\nbilling catalog apply catalog.toml\nbilling send events.ndjson"} /><//>`;
}

function NoEvents({ row }) {
  const event = { specversion: "1.0", id: "1", source: "curl", type: "llm.tokens", subject: row?.customer ?? "acme", data: { tokens: 4821, kind: "prompt", model: "m-large", user: "u-1" } };
  const body = JSON.stringify(event).replace(/"(subject|data)"/g, "\n      $&").replaceAll("'", "'\\''");
  const text = `curl -i ${location.origin}/v1/events \\\n  -H 'content-type: application/cloudevents+json' \\\n  -d '${body}'`;
  return html`<${Empty} icon="wait" title="Waiting for the first event"><p>This page fills itself when one arrives. Send one:</p><${Command} text=${text} /><//>`;
}

function SpendTiles({ state, overview, now }) {
  const value = overview?.value;
  const currencies = state.currencies ?? value?.currencies;
  const total = (name) => currencies?.every((c) => c[name] != null) ? currencies.reduce((sum, c) => sum + c[name], 0) : null;
  const show = (known, shown = count) => (known != null ? shown(known) : overview ? UNKNOWN : html`<${GhostValue} />`);
  const perSecond = state.pipeline?.events_per_s ?? value?.events?.per_s;
  const audit = value?.audit;
  const several = (currencies?.length ?? 0) > 1;
  const at = total("at_limit");
  const near = total("near_limit");
  return html`<dl class="tiles spend-tiles" aria-label="Now">
    <${Tile} lead label="Spend this period" note="Calendar months in each customer's zone">
      ${currencies?.length ? [...currencies].sort((a, b) => b.customers - a.customers).map((c) => html`<span class="amount" key=${c.currency}>${money(c.spend, c.currency, { code: several })}</span>`) : show(null)}<//>
    <${Tile} label="At limit" tone=${at ? "bad" : ""} note=${at ? html`<a href="/?state=at">Show them</a>` : "customers"}>${show(at)}<//>
    <${Tile} label="80 % or more" tone=${near ? "warning" : ""} note=${near ? html`<a href="/?state=near">Show them</a>` : "customers"}>${show(near)}<//>
    <${Tile} className="ordinary" label="Events" note="counted per second">${show(perSecond, rate)}<//>
    <${Tile} className="ordinary" label="Freshness" note="age of the data">${show(health(state, now).age_s ?? value?.freshness_s, age)}<//>
    <${Tile} label="Last audit" note=${audit ? ago(audit.time, now) : html`Run <code>billing audit</code>`} tone=${AUDITS[audit?.audit]}>
      ${audit ? html`<span class="audit"><${Icon} name=${AUDITS[audit.audit]} />${audit.audit}</span>` : value ? "none yet" : show(null)}<//>
  </dl>`;
}

class Customers extends Ordered {
  render({ state, list, query, now, actions, path }, { inside }) {
    const filter = query.get("state") ?? "all";
    const order = query.get("order") ?? "-limit_share";
    const entry = (this.listed = list ?? this.listed); // until another list is there, the one at hand stands in its place
    const shown = entry?.value ? merged(entry, state.rows).filter((row) => matches(row, filter)) : [];
    const known = new Map(shown.map((row) => [row.customer, row]));
    const rows = this.ordered(known, () => arranged(shown, order), order).map((id) => known.get(id));
    const several = new Set(rows.map((row) => row.currency)).size > 1;
    const filters = html`<${Choice} label="Show" options=${FILTERS} value=${filter} href=${(name) => withQuery(query, "state", name === "all" ? null : name)} />`;
    return html`<${Panel} id="customers" title="Customers" entry=${list ?? (rows.length ? entry : undefined)} rows=${12} retry=${() => actions.load(path)} side=${filters}>
      ${query.get("q") && html`<p class="applied">Names with "${query.get("q")}" <a href=${withQuery(query, "q", null)}>Clear</a></p>`}
      ${rows.length === 0 ? html`<${NoMatch} query=${query} />` : html`
      <table class="cards customers" ...${this.hold}>
        <thead><tr>
          <th>Customer</th>
          <th class="plan">Plan</th>
          <${Sort} by="-spend" order=${order} query=${query} actions=${actions} number>Spend<//>
          <th class="number">Limit</th>
          <${Sort} by="-limit_share" order=${order} query=${query} actions=${actions}>Of limit<//>
          <th>Access</th><th class="last number">Last event</th>
        </tr></thead>
        <tbody>${rows.map((row) => html`<${CustomerRow} key=${row.customer} row=${row} code=${several} now=${now} />`)}</tbody>
      </table>
      <div class="foot"><span class="muted">${inside ? html`<${Icon} name="pause" />Order paused while you are in the table` : `${count(rows.length)} shown${entry.value.next ? "" : ", all of them"}`}</span>
        ${entry.value.next && html`<button class="quiet" onClick=${actions.more}>Show more</button>`}</div>`}
    <//>`;
  }
}

function Sort({ by, order, query, actions, number, children }) {
  const on = order === by;
  const sort = () => actions.go(withQuery(query, "order", by === "-limit_share" ? null : by));
  return html`<th class=${number ? "number" : ""} aria-sort=${on ? "descending" : "none"}><button class="sort" onClick=${sort}>${children}${on && html`<${Icon} name="sort" />`}</button></th>`;
}

/** Drawn again only when it says something else: most frames change few rows. */
class CustomerRow extends Component {
  shouldComponentUpdate({ row, code, now }) {
    const said = [row.plan, row.spend, row.limit, row.allowed, row.last_event, ago(row.last_event, now), code].join();
    const same = said === this.said;
    this.said = said;
    return !same;
  }
  render({ row, code, now }) {
    const unpriced = standing(row) === "unpriced";
    const mark = `${row.spend} ${row.allowed}`;
    return html`<${Row} mark=${mark}>
      <td class="name"><${Id} id=${row.customer} href=${customerHref(row.customer)} /></td>
      <td class="plan">${row.plan ?? html`<span class="muted">${UNKNOWN} not priced</span>`}</td>
      <td class="number spend">${unpriced ? html`<span class="muted">${UNKNOWN}</span>` : money(row.spend, row.currency, { code })}</td>
      <td class="number limit">${row.limit == null ? html`<span class="muted" aria-label="no limit">${UNKNOWN}</span>` : money(row.limit, row.currency, { code })}</td>
      <td class="of-limit">${unpriced ? html`<span class="muted">${UNKNOWN} not priced</span>` : html`<${Share} row=${row} />`}</td>
      <td class="access"><${Access} allowed=${row.allowed} until=${row.resets_at} zone=${row.time_zone} /></td>
      <td class="last number muted"><${Ago} at=${row.last_event} now=${now} /></td>
    <//>`;
  }
}

function NoMatch({ query }) {
  const word = query.get("q");
  const filter = FILTERS.find(([name]) => name === query.get("state"))?.[1];
  return html`<p class="nothing">No customer matches ${word ? `'${word}'` : `'${filter ?? "these filters"}'`}. <a href="/">Show all</a></p>`;
}
