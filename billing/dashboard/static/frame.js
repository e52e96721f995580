// The frame of every view: name, links, search, pause, theme, the state of the data, and what is wrong just now.

import { Component, createRef } from "./vendor/preact.mjs";
import { age, clock } from "./format.js";
import { health } from "./store.js";
import { Icon, html } from "./parts.js";

const THEMES = { system: "Auto", light: "Light", dark: "Dark" };
export const READY = "/readyz";

/** A cut shorter than this shows only in the chip. */
const BANNER_AFTER_MS = 1500;

export function isStale(state, now) {
  return state.connection.kind === "cut" && now - state.connection.since >= BANNER_AFTER_MS;
}

export function TopBar({ route, state, now, actions, customer, theme }) {
  const links = [["spend", "/", "Spend"], ["customer", customer, "Customer"], ["alerts", "/alerts", "Alerts"], ["pipeline", "/pipeline", "Pipeline"]];
  return html`<header class="top"><div class="wide">
    <a class="name" href="/"><svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2 5h16M2 10h11M2 15h6" /></svg>keylane</a>
    <nav aria-label="Views">${links.map(([name, href, text]) => (href
      ? html`<a key=${name} href=${href} aria-current=${route.view === name ? "page" : undefined}>${text}</a>`
      : html`<button key=${name} class="link" onClick=${() => actions.find("")}>${text}</button>`))}</nav>
    <${Find} actions=${actions} known=${knownIds(state)} text=${(route.view === "spend" && route.query.get("q")) || ""} />
    <div class="controls">
      <${StateChip} state=${state} now=${now} />
      <button class="quiet square" aria-label=${state.paused ? "Resume" : "Pause"} title=${state.paused ? "Resume live updates" : "Pause live updates"} onClick=${actions.togglePause}><${Icon} name=${state.paused ? "play" : "pause"} /></button>
      <button class="quiet theme" aria-label=${`Theme: ${THEMES[theme]}`} title="Theme: system, light, dark" onClick=${actions.nextTheme}>${THEMES[theme]}</button>
    </div>
  </div></header>`;
}

export const nextTheme = (theme) => ({ system: "light", light: "dark" })[theme] ?? "system";

const knownIds = (state) => [...new Set(Object.entries(state.answers).flatMap(([path, entry]) => (path.startsWith("/v1/customers?") && entry.value ? entry.value.data.map((row) => row.customer) : [])))];

/** How old the data is: Pipeline says it in full, here the larger unit is enough. */
function StateChip({ state, now }) {
  const { kind, age_s } = health(state, now);
  const seconds = age_s === null ? "" : age(age_s);
  if (kind === "paused") return html`<span class="chip state warning"><${Icon} name="pause" />Paused${state.paused.waiting ? ` · ${state.paused.waiting > 999 ? "999+" : state.paused.waiting} waiting` : ""}</span>`;
  if (kind === "cut") return html`<span class="chip state bad"><${Icon} name="wait" />Reconnecting…</span>`;
  if (kind === "connecting") return html`<span class="chip state plain"><${Icon} name="wait" />Connecting…</span>`;
  if (kind === "delayed") return html`<a class="chip state warning" href="/pipeline"><${Icon} name="warning" />Delayed ${age_s < 60 ? `${Math.floor(age_s)} s` : seconds.split(" ", 2).join(" ")}</a>`;
  return html`<span class="chip state good"><span class="dot"></span>Live${seconds && ` · ${seconds}`}</span>`;
}

/** A known id opens its customer; anything else filters the list by name. */
class Find extends Component {
  input = createRef();
  componentDidMount() {
    addEventListener("keydown", this.key);
    this.input.current.value = this.props.text;
  }
  componentDidUpdate({ text }) {
    if (text !== this.props.text) this.input.current.value = this.props.text;
  }
  componentWillUnmount() {
    removeEventListener("keydown", this.key);
  }
  key = (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    this.input.current.focus();
    this.input.current.select();
  };
  submit = (event) => {
    event.preventDefault();
    const text = this.input.current.value.trim();
    if (text) this.props.actions.search(text);
    this.input.current.blur();
  };
  render({ known }) {
    return html`<form class="find" role="search" onSubmit=${this.submit}><${Icon} name="search" />
      <input id="find" ref=${this.input} type="search" list="known" placeholder="Find customer" aria-label="Find customer, Control K" autocomplete="off" spellcheck="false" maxlength="256" />
      <kbd aria-hidden="true">${/Mac|iPhone|iPad/.test(navigator.platform) ? "⌘ K" : "Ctrl K"}</kbd>
      <datalist id="known">${known.map((id) => html`<option key=${id} value=${id} />`)}</datalist></form>`;
  }
}

/** What stands under the head: a cut connection first, then what the server waits for, then what it warns of. */
export function Strips({ state, now, actions }) {
  const strips = [];
  if (isStale(state, now)) {
    const { since, retryAt } = state.connection;
    const seconds = Math.max(0, Math.ceil((retryAt - now) / 1000));
    strips.push(html`<div key="cut" class="strip bad"><${Icon} name="warning" /><span>Not connected since ${clock(state.frameAt ?? since)}. ${state.frameAt ? "Figures are from then. " : ""}<span class="retry-in">${seconds ? `Retrying in ${seconds} s` : "Retrying now…"}</span></span>
      <button class="quiet" onClick=${actions.retry}>Retry now</button></div>`);
  }
  const ready = state.answers[READY]?.value;
  for (const text of ready?.waiting_for ?? []) strips.push(html`<div key=${text} class="strip warning"><${Icon} name="wait" /><span>Not ready: ${text}</span></div>`);
  for (const text of ready?.warnings ?? []) strips.push(html`<div key=${text} class="strip plain"><${Icon} name="info" /><span>${text.replace(/^the /, "The ")}</span></div>`);
  return strips.length ? html`<div class="strips wide" role="region" aria-label="Notices">${strips}</div>` : null;
}
