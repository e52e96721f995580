// Alerts: what fired, when, how fast, and what it does.

import { Component } from "./vendor/preact.mjs";
import { ago, count, dayClock, duration, money, ownZone, percentOfLimit, thresholdText } from "./format.js";
import { newestAlerts } from "./store.js";
import { Chip, Choice, Icon, Id, Panel, Time, address, customerHref, html } from "./parts.js";

export const alertsPath = (query) => {
  const path = new URLSearchParams({ order: "-time" });
  if (query.get("customer")) path.set("customer", query.get("customer"));
  return `/v1/alerts?${path}`;
};

/** Reached its limit, or a threshold below it. */
export function toneOfAlert(alert) {
  const share = percentOfLimit(alert.threshold, alert.limit) ?? 0;
  return share >= 100 ? "bad" : share >= 80 ? "warning" : "info";
}

const effect = (alert) => (toneOfAlert(alert) === "bad" ? "closes access" : "alert only");

/** The short list beside other views. */
export function AlertList({ alerts, now, zone, named = true, code = false }) {
  if (!alerts.length) return html`<p class="nothing">No alert yet. One appears here when a threshold of the catalog is reached.</p>`;
  return html`<ol class="alert-list">${alerts.map((alert) => html`<li key=${alert.id}>
    <span class="mark ${toneOfAlert(alert)}"><${Icon} name=${toneOfAlert(alert)} /></span>
    <span class="what">${named ? html`<${Id} id=${alert.customer} href=${customerHref(alert.customer)} most=${18} />` : html`<b>${thresholdText(alert)}</b>`}
      <span class="rule">${named && `${thresholdText(alert, { code })} · `}${effect(alert)}</span></span>
    <span class="when muted"><${Time} at=${alert.time}>${ago(alert.time, now, zone)}<//></span></li>`)}</ol>`;
}

/** New alerts appear on top, or as "3 new" when the reader has scrolled. */
export class Alerts extends Component {
  state = { shownAt: null };
  render({ state, query, now, actions }, { shownAt }) {
    const path = alertsPath(query);
    const entry = state.answers[path];
    const live = query.get("customer") ? state.alerts.filter((a) => a.customer === query.get("customer")) : state.alerts;
    const wanted = newestAlerts(entry, live).filter((alert) => matchesLevel(alert, query.get("level") ?? "all"));
    const held = scrollY > 200 && shownAt !== null ? wanted.filter((a) => Date.parse(a.time) > shownAt) : [];
    if (!held.length && wanted.length) this.state.shownAt = Date.parse(wanted[0].time);
    return html`<h1>Alerts</h1><p class="sub">Newest first. Times are in your zone, ${ownZone()}.</p>
      <${Panel} id="alerts" title="Fired" entry=${entry} rows=${10} retry=${() => actions.load(path)} side=${html`<${Filters} query=${query} actions=${actions} />`}>
        ${held.length > 0 && html`<button class="new-alerts" onClick=${() => { this.setState({ shownAt: Infinity }); scrollTo({ top: 0 }); }}>${count(held.length)} new</button>`}
        <${AlertTable} alerts=${wanted.filter((a) => !held.includes(a))} now=${now} query=${query} />
      <//>`;
  }
}

const LEVELS = [["all", "All"], ["warning", "80 % or more"], ["bad", "Limit reached"]];
const matchesLevel = (alert, level) => level === "all" || toneOfAlert(alert) === level || (level === "warning" && toneOfAlert(alert) === "bad");

function Filters({ query, actions }) {
  return html`<span class="side">
    ${query.get("customer") && html`<span class="applied">Only <${Id} id=${query.get("customer")} /> <a href=${address("/alerts", query, { customer: null })}>Clear</a></span>`}
    <input class="only" type="search" list="known" placeholder="Only customer" aria-label="Only of customer" value=${query.get("customer") ?? ""} onChange=${(e) => actions.go(address("/alerts", query, { customer: e.target.value.trim() || null }))} />
    <${Choice} label="Threshold" options=${LEVELS} value=${query.get("level") ?? "all"} href=${(level) => address("/alerts", query, { level: level === "all" ? null : level })} /></span>`;
}

function AlertTable({ alerts, now, query }) {
  if (!alerts.length) return html`<p class="nothing">No alert ${query.size ? "matches. " : "yet. One appears here when a threshold of the catalog is reached."}${query.size > 0 && html`<a href="/alerts">Show all</a>`}</p>`;
  const several = new Set(alerts.map((a) => a.currency)).size > 1;
  return html`<table class="cards alerts-table"><thead><tr>
      <th aria-sort="descending">Time</th><th>Customer</th><th>Threshold</th><th class="number">Spend then</th><th class="number latency">Took</th><th>Does</th></tr></thead>
    <tbody>${alerts.map((alert) => html`<tr key=${alert.id}>
      <td class="when"><${Time} at=${alert.time}>${dayClock(alert.time)}<//> <span class="muted relative">${recent(alert, now)}</span></td>
      <td class="name"><${Id} id=${alert.customer} href=${customerHref(alert.customer)} /></td>
      <td class="threshold">${thresholdText(alert, { code: several })}</td>
      <td class="number spend">${money(alert.spend, alert.currency, { code: several })}</td>
      <td class="number latency muted">${duration(alert.latency_s)}</td>
      <td class="effect"><${Chip} tone=${toneOfAlert(alert)}>${effect(alert)}<//></td></tr>`)}</tbody></table>`;
}

const recent = (alert, now) => (now - Date.parse(alert.time) < 3_570_000 ? ago(alert.time, now) : "");
