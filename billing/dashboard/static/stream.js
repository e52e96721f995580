// GET for answers and the server-sent stream, both through fetch, so that a key can travel in a header.
//
// A cut is told at once; the next try comes after 1, 2, 4, then every 8 seconds, each stretched by up to a quarter so
// that viewers do not come back in step. A stream is there from its first word on, and one that stays silent for 10 s
// counts as cut: what stands between may hold a connection open and let nothing through.

import { SILENT_S } from "./store.js";

const DELAYS_S = [1, 2, 4, 8];
const ANSWER_TIMEOUT_MS = 15_000;

/** The document may carry first answers, by path, as data: each is taken once instead of a request. */
function carriedAnswers() {
  const element = typeof document === "undefined" ? null : document.getElementById("snapshot");
  return element ? JSON.parse(element.textContent) : {};
}
const carried = carriedAnswers();

/** {status: "ready", value} | {status: "missing"} for 404 | {status: "failed", error}; never raises. */
export async function ask(path) {
  if (path in carried) {
    const value = carried[path];
    delete carried[path];
    return { status: "ready", value };
  }
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const response = await fetch(path, { headers: { accept: "application/json" }, cache: "no-store", signal });
    if (response.status === 404) return { status: "missing" };
    if (response.ok || path === "/readyz") return { status: "ready", value: await response.json() };
    return { status: "failed", error: await reason(response) };
  } catch (error) {
    return { status: "failed", error: error.name === "TimeoutError" ? "no answer for 15 s" : "the server cannot be reached" };
  }
}

async function reason(response) {
  const problem = await response.json().catch(() => ({}));
  return `${response.status} ${problem.detail ?? problem.title ?? response.statusText}`;
}

/** Feeds text of any cut into events: onEvent(name, data text, id). */
export function eventParser(onEvent) {
  let rest = "";
  let event = { name: "message", data: [], id: null };
  const line = (text) => {
    if (text === "") {
      if (event.data.length) onEvent(event.name, event.data.join("\n"), event.id);
      event = { name: "message", data: [], id: event.id };
      return;
    }
    const colon = text.indexOf(":");
    const [field, value] = colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1).replace(/^ /, "")];
    if (field === "event") event.name = value;
    if (field === "data") event.data.push(value);
    if (field === "id") event.id = value;
  };
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

export function delay_s(attempt, chance = Math.random()) {
  return DELAYS_S[Math.min(attempt, DELAYS_S.length - 1)] * (1 + chance / 4);
}

/** One stream that keeps itself open: onOpen(), onEvent(name, data), onCut(retryAt in ms). */
export class Stream {
  constructor({ onOpen, onEvent, onCut }) {
    Object.assign(this, { onOpen, onEvent, onCut });
    this.path = null;
    this.attempt = 0;
    this.lastId = null;
  }

  /** Opens the stream at `path`; another path replaces the open one. */
  open(path) {
    if (path === this.path) return;
    this.close();
    this.path = path;
    this.attempt = 0;
    this.connect();
  }

  close() {
    this.path = null;
    clearTimeout(this.timer);
    clearInterval(this.watch);
    this.controller?.abort();
  }

  /** Tries now instead of waiting. */
  retry() {
    if (this.path === null) return;
    clearTimeout(this.timer);
    this.connect();
  }

  async connect() {
    const controller = new AbortController();
    this.controller?.abort();
    this.controller = controller;
    try {
      await this.read(controller);
    } catch (error) {
      const expected = error instanceof TypeError || error.name === "AbortError" || error.refused;
      if (!expected) reportError(error);
    }
    clearInterval(this.watch);
    if (this.controller === controller && this.path !== null) this.wait();
  }

  async read(controller) {
    const headers = { accept: "text/event-stream", ...(this.lastId ? { "last-event-id": this.lastId } : {}) };
    const response = await fetch(this.path, { headers, cache: "no-store", signal: controller.signal });
    if (!response.ok) throw Object.assign(new Error(`the stream answered ${response.status}`), { refused: true });
    let heardAt = performance.now();
    this.watch = setInterval(() => performance.now() - heardAt > SILENT_S * 1000 && controller.abort(), 1000);
    let heard = false;
    const feed = eventParser((name, data, id) => {
      if (!heard) this.onOpen();
      heard = true;
      this.attempt = 0;
      this.lastId = id ?? this.lastId;
      this.onEvent(name, JSON.parse(data));
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      heardAt = performance.now();
      feed(part.value);
    }
  }

  wait() {
    const seconds = delay_s(this.attempt++);
    this.timer = setTimeout(() => this.connect(), seconds * 1000);
    this.onCut(Date.now() + seconds * 1000);
  }
}
