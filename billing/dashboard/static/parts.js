// What every view is made of: icons, chips, bars, tiles, panels and the states of a panel.
//
// Ids, groups and errors come from outside: they only ever become text nodes and attributes, never markup.

import { Component, createRef, h } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";
import { UNKNOWN, ago, day, dayTime, percentOfLimit, quantity, shareOfLimit, shortened } from "./format.js";

export const html = htm.bind(h);

const ICONS = {
  good: "M3 8.5l3.2 3.2L13 5",
  warning: "M8 2.2L14.5 13.5h-13zM8 6.5v3.2M8 11.6v.2",
  bad: "M5 5l6 6M11 5l-6 6M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13z",
  info: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13zM8 7.2v4M8 4.8v.2",
  wait: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13zM8 4.5V8l2.4 1.6",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3l8 5-8 5z",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9zM10.4 10.4L14 14",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  sort: "M8 3v10M4.5 9.5L8 13l3.5-3.5",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}

/** Status is always icon, word and colour. */
export function Chip({ tone, icon = tone, children }) {
  return html`<span class="chip ${tone}"><${Icon} name=${icon} />${children}</span>`;
}

/** Where it is closed, it says until when. */
export function Access({ allowed, until, zone }) {
  if (allowed == null) return html`<span class="muted">${UNKNOWN} unknown</span>`;
  if (allowed) return html`<${Chip} tone="good">Open<//>`;
  return html`<${Chip} tone="bad">Closed<//>${until && html`<span class="until muted">until <time datetime=${until} title=${`${dayTime(until, zone)} ${zone}`}>${day(until, zone)}</time></span>`}`;
}

const toneOf = (percent) => (percent >= 100 ? "bad" : percent >= 80 ? "warning" : "accent");

/** Share of the limit as a bar; `marks` are the places of thresholds as shares of the limit. */
export function Bar({ spend, limit, marks = [], large = false }) {
  const percent = percentOfLimit(spend, limit);
  const share = shareOfLimit(spend, limit);
  const width = `${Math.min(1, share) * 100}%`;
  return html`<span class="bar ${toneOf(percent)} ${large ? "large" : ""}" aria-hidden="true">
    <span class="fill" style=${{ width }}></span>
    ${marks.map((mark) => html`<span class="mark" style=${{ left: `${mark * 100}%` }}></span>`)}
    ${share > 1 && html`<span class="end"></span>`}
  </span>`;
}

/** Bar and percent of a table row, or the word that stands in their place. */
export function Share({ row }) {
  const percent = percentOfLimit(row.spend, row.limit);
  if (percent === null) return html`<span class="muted">${UNKNOWN} no limit</span>`;
  return html`<span class="share"><${Bar} spend=${row.spend} limit=${row.limit} /><span class="number percent">${percent} %</span></span>`;
}

export function Time({ at, children }) {
  return at == null ? UNKNOWN : html`<time datetime=${at} title=${at}>${children}</time>`;
}

export function Ago({ at, now }) {
  return html`<${Time} at=${at}>${ago(at, now)}<//>`;
}

export function Id({ id, href, most }) {
  const text = shortened(id, most);
  const title = text === id ? undefined : id;
  return href ? html`<a href=${href} title=${title}>${text}</a>` : html`<span title=${title}>${text}</span>`;
}

/** A quantity; where digits are left out, all of them are told to pointer, focus and screen reader. */
export function Quantity({ of }) {
  const { text, exact } = quantity(of);
  return text === exact ? text : html`<span title=${exact} tabindex="0" role="text" aria-label=${exact}>${text}</span>`;
}

/** An address with one or more of its parameters changed; null takes one away. */
export function address(path, query, changes) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) value === null ? next.delete(name) : next.set(name, value);
  return path + (next.size ? `?${next}` : "");
}

export const customerHref = (id) => `/customers/${encodeURIComponent(id)}`;

export function Tile({ label, children, note, tone = "", lead, className = "" }) {
  return html`<div class="tile ${lead ? "lead" : ""} ${tone} ${className}">
    <dt>${label}</dt><dd><span class="value">${children}</span>${note && html`<span class="note">${note}</span>`}</dd>
  </div>`;
}

/** Grey blocks of final size; the style sheet shows them only after 150 ms. */
export function Ghost({ rows = 1 }) {
  return html`<div class="ghosts" aria-hidden="true">${Array.from({ length: rows }, (_, i) => html`<div class="ghost" key=${i}></div>`)}</div>`;
}

export const GhostValue = () => html`<span class="ghost inline" aria-hidden="true"></span>`;

/** A panel that loads, fails and retries alone. `entry` is its answer; where the endpoint is missing there is no panel. */
export function Panel({ title, side, entry, rows = 4, retry, className = "", id, children }) {
  if (entry?.status === "missing") return null;
  const failed = entry?.status === "failed";
  return html`<section class="panel ${className}" aria-labelledby=${id} aria-busy=${entry === undefined ? "true" : undefined}>
    <div class="head"><h2 id=${id}>${title}</h2>${side}</div>
    ${failed && html`<p class="failed"><${Icon} name="warning" /><span>${title} could not be loaded: ${entry.error}.
      ${entry.value === undefined ? "" : " What is shown is from before."}</span><button class="quiet" onClick=${retry}>Retry</button></p>`}
    ${entry === undefined ? html`<${Ghost} rows=${rows} />` : entry.value !== undefined && children}
  </section>`;
}

export class Command extends Component {
  state = { copied: false };
  copy = async () => {
    await navigator.clipboard.writeText(this.props.text);
    this.setState({ copied: true });
    this.timer = setTimeout(() => this.setState({ copied: false }), 2000);
  };
  componentWillUnmount() {
    clearTimeout(this.timer);
  }
  render({ text }, { copied }) {
    return html`<div class="command"><pre tabindex="0"><code>${text}</code></pre>
      <button class="quiet" onClick=${this.copy}><${Icon} name=${copied ? "good" : "copy"} />${copied ? "Copied" : "Copy"}</button></div>`;
  }
}

export function Empty({ icon = "info", title, children }) {
  return html`<div class="empty"><h2><${Icon} name=${icon} />${title}</h2>${children}</div>`;
}

/** A choice between few values; each is a link where `href` gives addresses, else a button. */
export function Choice({ label, options, value, href, onChange }) {
  return html`<div class="choice" role="group" aria-label=${label}>${options.map(([name, text]) => {
    const on = name === value;
    return href
      ? html`<a key=${name} href=${href(name)} aria-current=${on ? "true" : undefined}>${text}</a>`
      : html`<button key=${name} aria-pressed=${on ? "true" : "false"} onClick=${() => onChange(name)}>${text}</button>`;
  })}</div>`;
}

/** A table whose rows change places at most every 2 s, and never while the pointer or the focus is inside. */
export class Ordered extends Component {
  state = { inside: false };
  order = [];
  orderedAt = 0;
  hold = {
    onPointerEnter: () => this.setState({ inside: true }),
    onFocusIn: () => this.setState({ inside: true }),
    onPointerLeave: (event) => this.left(event),
    onFocusOut: (event) => this.left(event),
  };
  left(event) {
    if (!event.currentTarget.contains(event.relatedTarget)) this.setState({ inside: false });
  }
  /** `known` is a map by name; `wanted()` gives the names in their order of now. */
  ordered(known, wanted, by = "") {
    const now = performance.now();
    const changed = by !== this.by || this.order.length !== known.size || this.order.some((name) => !known.has(name));
    if (changed || (!this.state.inside && now - this.orderedAt >= REORDER_MS)) {
      Object.assign(this, { by, order: wanted(), orderedAt: now });
    }
    return this.order;
  }
}

const REORDER_MS = 2000;
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** A table row that may tint for 600 ms when its `mark` changes, at most once a second; nothing moves. */
export class Row extends Component {
  base = createRef();
  tintedAt = -Infinity;
  componentDidUpdate(before) {
    const now = performance.now();
    if (before.mark === this.props.mark || now - this.tintedAt < 1000 || still()) return;
    this.tintedAt = now;
    const tint = getComputedStyle(document.documentElement).getPropertyValue("--tint-rgb");
    this.base.current?.animate([{ backgroundColor: `rgb(${tint} / 0.14)` }, { backgroundColor: "transparent" }], 600);
  }
  render({ className, children }) {
    return html`<tr ref=${this.base} class=${className}>${children}</tr>`;
  }
}
