// The page's pure modules: numbers, money, time, and how frames fold. Run by node --test.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../billing/dashboard/static/format.js";
import * as store from "../../billing/dashboard/static/store.js";
import { delay_s, eventParser } from "../../billing/dashboard/static/stream.js";

const plain = (text) => text.replaceAll("\u00a0", " ").replaceAll("\u202f", " ").replaceAll("\u2009", " ");

test("money keeps every digit and the currency's own decimals", () => {
  assert.equal(format.money("1043.83", "USD"), "$1,043.83");
  assert.equal(format.money("0", "USD"), "$0.00");
  assert.equal(format.money("-3.5", "USD"), "-$3.50");
  assert.equal(format.money("1043", "JPY"), "¥1,043");
  assert.equal(plain(format.money("1.5", "BHD")), "BHD 1.500");
  assert.equal(plain(format.money("1043.83", "USD", { code: true })), "USD 1,043.83");
  assert.equal(format.money("90071992547409931.27", "USD"), "$90,071,992,547,409,931.27");
  assert.equal(format.money(null, "USD"), "–");
});

test("percent of the limit rounds down and is 100 only when reached", () => {
  assert.equal(format.percentOfLimit("499.99", "500.00"), 99);
  assert.equal(format.percentOfLimit("500.00", "500.00"), 100);
  assert.equal(format.percentOfLimit("520.00", "500.00"), 104);
  assert.equal(format.percentOfLimit("0", "0"), 100);
  assert.equal(format.percentOfLimit("-1", "10"), 0);
  assert.equal(format.percentOfLimit("9007199254740992.999999999999", "9007199254740993"), 99);
  assert.equal(format.percentOfLimit("1", null), null);
});

test("what is left of a limit is exact and never below 0", () => {
  assert.equal(format.remaining("411.54", "500.00"), "88.460000000000");
  assert.equal(format.remaining("500.01", "500.00"), "0.000000000000");
});

test("sums are exact, whatever their size and sign", () => {
  assert.equal(format.sumOf(["9007199254740993.05", "0.000000000001", "-0.000000000001"]), "9007199254740993.050000000000");
  assert.equal(format.sumOf(["0.1", "0.2"]), "0.300000000000");
  assert.equal(format.sumOf(["-1.5", "0.25"]), "-1.250000000000");
  assert.equal(format.sumOf([]), "0.000000000000");
  assert.equal(format.money(format.sumOf(["9007199254740993", "0.05"]), "USD"), "$9,007,199,254,740,993.05");
});

test("decimals compare exactly", () => {
  assert.equal(format.compare("0.000000000001", "0.000000000002"), -1);
  assert.equal(format.compare("900719925474099.1", "900719925474099.10"), 0);
  assert.equal(format.compare("-1", "-2"), 1);
});

test("quantities group to 9,999,999, then three significant digits with the exact value beside", () => {
  assert.deepEqual(format.quantity("9999999"), { text: "9,999,999", exact: "9,999,999" });
  assert.deepEqual(format.quantity("48212345.125"), { text: "48.2M", exact: "48,212,345.125" });
  assert.equal(format.quantity("0.00042").text, "0.00042");
  assert.equal(format.quantity("0").text, "0");
  assert.equal(format.quantity(null).text, "–");
});

test("rates and durations", () => {
  assert.deepEqual([0, 0.5, 487, 4870, 12_400, 2_310_000, null].map(format.rate), ["0/s", "0.5/s", "487/s", "4,870/s", "12.4k/s", "2.31M/s", "–"]);
  assert.deepEqual([0, 0.0002, 0.084, 4.2, 42, 190, 7500, 273_600].map(format.duration), ["0 s", "<1 ms", "84 ms", "4.2 s", "42 s", "3 min 10 s", "2 h 5 min", "3 d 4 h"]);
  assert.deepEqual([0.9996, 9.96, 59.6, 3599.7].map(format.duration), ["1.0 s", "10 s", "1 min", "1 h"]);
  assert.equal(format.age(0.24), "0.2 s");
});

test("days come from the named zone, also where clocks change", () => {
  const month = { start: "2026-10-31T23:00:00Z", end: "2026-11-30T23:00:00Z" };
  assert.equal(format.period(month, "Europe/Berlin"), "1–30 Nov 2026");
  assert.equal(format.dayTime("2026-11-30T23:00:00Z", "Europe/Berlin"), "1 Dec 00:00");
  assert.equal(format.dayTime("2026-10-25T00:30:00Z", "Europe/Berlin"), "25 Oct 02:30 GMT+2");
  assert.equal(format.dayTime("2026-10-25T01:30:00Z", "Europe/Berlin"), "25 Oct 02:30 GMT+1");
});

test("times are relative up to an hour", () => {
  const now = Date.parse("2026-11-25T12:00:00Z");
  assert.equal(format.ago("2026-11-25T11:59:48Z", now), "12 s ago");
  assert.equal(format.ago("2026-11-25T12:00:05Z", now), "just now");
  assert.equal(format.ago("2026-11-25T11:30:00Z", now), "30 min ago");
  assert.equal(format.ago("2026-11-25T10:00:00Z", now, "UTC"), "25 Nov 10:00");
});

test("words for ids, groups and thresholds", () => {
  assert.equal(format.shortened("short"), "short");
  assert.equal([...format.shortened("x".repeat(100))].length, 28);
  assert.equal(format.groupText({ model: "m-large", region: "" }), "model m-large · region (none)");
  assert.equal(format.groupText({}), "all");
  assert.equal(format.thresholdText({ rule: "80%", threshold: "400.00", currency: "USD" }), "80 % · $400.00");
  assert.equal(format.thresholdText({ rule: "250.00", threshold: "250.00", currency: "USD" }), "$250.00");
});

const at = (second) => new Date(Date.UTC(2026, 10, 25, 12, 0, second)).toISOString();
const row = (customer, spend, more = {}) => ({ customer, spend, plan: "p", currency: "USD", limit: "100.00", allowed: true, ...more });

test("older frames are dropped, newer ones win over the list", () => {
  let state = store.initial(0);
  state = store.folded(state, "totals", { as_of: at(5), freshness_s: 0.2, rows: [row("a", "5.00")] }, 1000);
  state = store.folded(state, "totals", { as_of: at(4), freshness_s: 9, rows: [row("a", "4.00")] }, 1100);
  assert.equal(state.rows.a.spend, "5.00");
  const entry = (as_of) => ({ at: 0, value: { as_of, data: [row("a", "3.00", { last_event: "x" })] } });
  assert.equal(store.merged(entry(at(3)), state.rows)[0].spend, "5.00");
  assert.equal(store.merged(entry(at(3)), state.rows)[0].last_event, "x");
  assert.equal(store.merged(entry(at(6)), state.rows)[0].spend, "3.00");
});

test("a row that moved since the list had an event by then", () => {
  const entry = { at: 0, value: { as_of: at(3), data: [row("a", "3.00", { last_event: at(1) }), row("b", "1.00", { last_event: at(1) })] } };
  const frame = (second, spend) => ({ as_of: at(second), rows: [row("a", spend), row("b", "1.00")], currencies: [] });
  let state = store.folded(store.initial(0), "totals", frame(4, "3.00"), 1000);
  assert.deepEqual(store.merged(entry, state.rows).map((one) => one.last_event), [at(1), at(1)]);
  state = store.folded(state, "totals", frame(5, "4.00"), 2000);
  state = store.folded(state, "totals", frame(7, "4.00"), 3000);
  assert.deepEqual(store.merged(entry, state.rows).map((one) => one.last_event), [at(5), at(1)]);
});

test("an alert shows once, whatever is repeated", () => {
  let state = store.initial(0);
  for (const id of ["1", "2", "1"]) state = store.folded(state, "alert", { id, time: at(Number(id)) }, 0);
  const entry = { value: { data: [{ id: "1", time: at(1) }, { id: "0", time: at(0) }] } };
  assert.deepEqual(store.newestAlerts(entry, state.alerts).map((alert) => alert.id), ["2", "1", "0"]);
});

test("a pause holds values and counts what waits", () => {
  let state = store.paused(store.initial(0), true, 0);
  state = store.folded(state, "totals", { rows: [row("a", "5.00")] }, 0);
  state = store.folded(state, "ping", {}, 0);
  assert.deepEqual(state.rows, {});
  assert.equal(state.paused.waiting, 1);
});

test("a pause holds answers too: one under way changes nothing, what is not there yet still comes", () => {
  const ready = (value) => ({ status: "ready", value });
  let state = store.answered(store.initial(0), "/a", ready(1), 0);
  state = store.answered(state, "/b", { status: "failed", error: "no" }, 0);
  state = store.paused(state, true, 0);
  for (const path of ["/a", "/b", "/c"]) state = store.answered(state, path, ready(2), 1);
  const values = (of) => Object.fromEntries(Object.entries(of.answers).map(([path, entry]) => [path, entry.value]));
  assert.deepEqual(values(state), { "/a": 1, "/b": 2, "/c": 2 });
  assert.equal(store.answered(store.paused(state, false, 2), "/a", ready(2), 2).answers["/a"].value, 2);
});

test("a time that comes twice says which it is", () => {
  const berlin = (time) => format.dayTime(time, "Europe/Berlin");
  assert.equal(berlin("2026-10-25T00:00:00Z"), "25 Oct 02:00 GMT+2");
  assert.equal(berlin("2026-10-25T01:00:00Z"), "25 Oct 02:00 GMT+1");
  assert.equal(berlin("2026-10-24T23:00:00Z"), "25 Oct 01:00");
  assert.equal(berlin("2026-10-25T02:00:00Z"), "25 Oct 03:00");
  assert.equal(format.dayClock("2026-11-01T06:30:05Z", "America/New_York"), "1 Nov 01:30:05 GMT-5");
  assert.equal(format.dayTime("2026-04-04T15:15:00Z", "Australia/Lord_Howe"), "5 Apr 01:45 GMT+10:30");
});

test("customers without prices come last, whatever their currency", () => {
  const row = (customer, currency, spend, plan, limit = null) => ({ customer, currency, spend, plan, limit });
  const rows = [row("unpriced", null, null, null), row("open", "USD", "1.00", "p"), row("yen", "JPY", null, null), row("limited", "USD", "1.00", "p", "9.00")];
  assert.deepEqual(store.arranged(rows, "-limit_share"), ["limited", "open", "unpriced", "yen"]);
  assert.deepEqual(store.arranged(rows, "-spend"), ["limited", "open", "unpriced", "yen"]);
});

test("a row that a frame only repeats is no newer than before", () => {
  let state = store.initial(0);
  const frame = (second, spend) => ({ as_of: `2026-11-01T00:00:0${second}Z`, rows: [{ customer: "a", spend, allowed: true, limit: null }] });
  for (const [second, spend] of [[1, "5.00"], [2, "5.00"]]) state = store.folded(state, "totals", frame(second, spend), second * 1000);
  assert.equal(state.rows.a.at, 1000);
  assert.equal(state.rows.a.asOf, Date.parse("2026-11-01T00:00:02Z"));
  state = store.folded(state, "totals", frame(3, "6.00"), 3000);
  assert.equal(state.rows.a.at, 3000);
});

test("the chip tells the age of the data, not of the connection", () => {
  let state = store.connected(store.initial(0), 0);
  assert.equal(store.health(state, 1000).age_s, null);
  state = store.folded(state, "ping", { freshness_s: 0.2 }, 1000);
  assert.deepEqual(store.health(state, 5500), { kind: "live", age_s: 0.2, silence_s: 4.5 });
  state = store.folded(state, "ping", { freshness_s: 4 }, 6000);
  assert.equal(store.health(state, 6000).kind, "delayed");
  state = store.cut(state, 7000, 8000);
  state = store.cut(state, 9000, 11000);
  assert.equal(store.health(state, 9000).kind, "cut");
  assert.equal(state.connection.since, 7000);
});

test("on a customer's page the age is that of the customer's data", () => {
  const open = store.connected(store.initial(0), 0);
  const totals = { as_of: "2026-11-24T19:00:00Z", freshness_s: 9, rows: [], currencies: [] };
  assert.equal(store.health(store.folded(open, "totals", totals, 100), 100).age_s, 9);
  const own = store.folded(open, "totals", { ...totals, lag_s: 0.3 }, 100);
  assert.deepEqual(store.health(own, 100), { kind: "live", age_s: 0.3, silence_s: 0 });
  assert.equal(store.health(store.folded(own, "pipeline", { as_of: totals.as_of, freshness_s: 9, partitions: [] }, 200), 200).age_s, 0.3);
  assert.equal(store.health(store.folded(own, "totals", totals, 300), 300).age_s, 9);
});

test("a failed answer keeps the value from before", () => {
  let state = store.answered(store.initial(0), "/a", { status: "ready", value: 1 }, 0);
  state = store.answered(state, "/a", { status: "failed", error: "503" }, 1);
  assert.deepEqual([state.answers["/a"].status, state.answers["/a"].value], ["failed", 1]);
});

test("the nearest to its limit comes first, then those without one by currency and amount", () => {
  const rows = [row("none-small", "1.00", { limit: null }), row("near", "80.00"), row("none-big", "9.00", { limit: null }), row("over", "104.00"), row("eur", "1.00", { limit: null, currency: "EUR" })];
  assert.deepEqual(store.arranged(rows, "-limit_share"), ["over", "near", "eur", "none-big", "none-small"]);
  assert.deepEqual(rows.map(store.standing), ["none", "near", "none", "at", "none"]);
  assert.equal(store.matches(row("over", "104.00"), "near"), true);
  assert.equal(store.standing(row("x", null)), "unpriced");
});

test("unknown lag stays unknown, and a trend needs evidence", () => {
  const pipeline = (lags) => ({ events_per_s: 1, lag: null, partitions: lags.map((lag, partition) => ({ topic: "t", partition, lag })) });
  let samples = [];
  for (let second = 0; second < 6; second++) samples = store.sampled(samples, pipeline([600 - 100 * second, null, 0]), second * 1000);
  assert.deepEqual(store.trend(samples, "t/0", 5000), { word: "shrinking", clears_s: 1 });
  assert.equal(samples[0].lag, null);
  assert.equal(store.trend(samples, "t/1", 5000), null);
  assert.deepEqual(store.trend(samples, "t/2", 5000), { word: "steady", clears_s: null });
  assert.equal(store.trend(samples.slice(0, 2), "t/0", 1000), null);
  assert.equal(store.sampled(samples, pipeline([0]), 5100), samples);
  assert.equal(store.sampled(samples, pipeline([0]), 400_000).length, 1);
});

test("the stream is parsed whatever its cuts", () => {
  const text = ": hi\nid: 7\nevent: totals\ndata: {\"a\":\ndata: 1}\n\nevent: ping\r\ndata: {}\r\n\r\n\n";
  for (const size of [1, 2, 3, 1000]) {
    const seen = [];
    const feed = eventParser((...event) => seen.push(event));
    for (let i = 0; i < text.length; i += size) feed(text.slice(i, i + size));
    assert.deepEqual(seen, [["totals", '{"a":\n1}', "7"], ["ping", "{}", "7"]]);
  }
});

test("tries come after 1, 2, 4, then every 8 seconds, stretched by at most a quarter", () => {
  assert.deepEqual([0, 1, 2, 3, 9].map((attempt) => delay_s(attempt, 0)), [1, 2, 4, 8, 8]);
  assert.equal(delay_s(3, 1), 10);
});
