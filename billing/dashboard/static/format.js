// Numbers, money and time as people read them. Pure: text in, text out.
//
// Amounts and quantities are plain decimal strings and stay exact: Intl.NumberFormat formats strings digit by digit,
// comparisons and percents go through BigInt. Only widths of bars and points of charts become floats.

const LOCALE = "en-US";
const DATE_LOCALE = "en-GB";
export const UNKNOWN = "–";

const SCALE = 12;
const formats = new Map();

function cached(Kind, locale, options) {
  const key = Kind.name + locale + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Kind(locale, options));
  return formats.get(key);
}

const numbers = (options) => cached(Intl.NumberFormat, LOCALE, options);
const dates = (options) => cached(Intl.DateTimeFormat, DATE_LOCALE, options);

// ── Exact decimals ──────────────────────────────────────────────────────────────────────────────────────────────

/** A plain decimal string as an integer in units of 10^-12. */
export function scaled(text) {
  const [, sign, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  const size = BigInt(whole + fraction.slice(0, SCALE).padEnd(SCALE, "0"));
  return sign ? -size : size;
}

/** Less than, equal to or greater than 0, as a is against b. */
export function compare(a, b) {
  const difference = scaled(a) - scaled(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The plain decimal string of an integer in units of 10^-12. */
export function plain(size) {
  const digits = String(size < 0n ? -size : size).padStart(SCALE + 1, "0");
  return `${size < 0n ? "-" : ""}${digits.slice(0, -SCALE)}.${digits.slice(-SCALE)}`;
}

/** The exact sum of plain decimal strings, as one. */
export const sumOf = (texts) => plain(texts.reduce((sum, text) => sum + scaled(text), 0n));

/** What is left of the limit: a plain decimal string, never below 0. */
export function remaining(spend, limit) {
  const rest = scaled(limit) - scaled(spend);
  return plain(rest > 0n ? rest : 0n);
}

/** Spend as whole percents of the limit, rounded down, or null without a limit. A limit of 0 is always reached. */
export function percentOfLimit(spend, limit) {
  if (spend == null || limit == null) return null;
  const whole = scaled(limit);
  if (whole <= 0n) return 100;
  const share = (scaled(spend) * 100n) / whole;
  return share < 0n ? 0 : Number(share);
}

/** A float for the eye: share of the limit for the width of a bar, never for text. */
export function shareOfLimit(spend, limit) {
  if (spend == null || limit == null) return null;
  return Number(limit) > 0 ? Math.max(0, Number(spend) / Number(limit)) : 1;
}

// ── Money ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** An amount in its currency's own digits: "$1,043.83", or "USD 1,043.83" where several currencies are in view. */
export function money(amount, currency, { code = false } = {}) {
  if (amount == null) return UNKNOWN;
  if (!currency) return numbers({ maximumFractionDigits: SCALE }).format(amount);
  return numbers({ style: "currency", currency, currencyDisplay: code ? "code" : "symbol" }).format(amount);
}

// ── Quantities, rates, durations ────────────────────────────────────────────────────────────────────────────────

/** A quantity: grouped digits up to 9,999,999, then three significant digits; `exact` has every digit. */
export function quantity(text) {
  if (text == null) return { text: UNKNOWN, exact: UNKNOWN };
  const exact = numbers({ maximumFractionDigits: SCALE }).format(text);
  const size = Math.abs(Number(text));
  if (size >= 1e7) return { text: numbers({ notation: "compact", maximumSignificantDigits: 3 }).format(text), exact };
  if (size > 0 && size < 1) return { text: numbers({ maximumSignificantDigits: 3 }).format(text), exact };
  return { text: numbers({ maximumFractionDigits: 2 }).format(text), exact };
}

/** A whole number with grouped digits; unknown is a dash, never 0. */
export function count(number) {
  return number == null ? UNKNOWN : numbers({ maximumFractionDigits: 0 }).format(number);
}

/** Events per second: "12.4k/s", "487/s", "0.5/s". */
export function rate(perSecond) {
  if (perSecond == null) return UNKNOWN;
  const digits = { maximumSignificantDigits: 3 };
  const size = Math.abs(perSecond);
  if (size >= 1e6) return `${numbers(digits).format(perSecond / 1e6)}M/s`;
  if (size >= 1e4) return `${numbers(digits).format(perSecond / 1e3)}k/s`;
  if (size >= 1e3) return `${numbers({ maximumFractionDigits: 0 }).format(perSecond)}/s`;
  return `${numbers(digits).format(perSecond)}/s`;
}

/** "84 ms", "4.2 s", "42 s", "3 min 10 s", "2 h 5 min", "3 d 4 h". */
export function duration(seconds) {
  if (seconds == null) return UNKNOWN;
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995) return seconds < 0.001 ? "<1 ms" : `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const pair = (unit, high, low) => {
    const units = Math.round(seconds / unit.low);
    const rest = units % unit.times;
    return `${Math.floor(units / unit.times)} ${high}${rest ? ` ${rest} ${low}` : ""}`;
  };
  if (seconds < 3599.5) return pair({ low: 1, times: 60 }, "min", "s");
  if (seconds < 86370) return pair({ low: 60, times: 60 }, "h", "min");
  return pair({ low: 3600, times: 24 }, "d", "h");
}

/** The age of data in seconds, one decimal below 10: "0.2 s", "12 s", "3 min 10 s". */
export function age(seconds) {
  if (seconds == null) return UNKNOWN;
  return seconds < 9.95 ? `${Math.max(0, seconds).toFixed(1)} s` : duration(seconds);
}

// ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────
// A zone is an IANA name; undefined is the viewer's own.

const TURNS_MS = [-3_600_000, -1_800_000, 1_800_000, 3_600_000];
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

export const clock = (time, timeZone) => dates({ ...CLOCK, second: "2-digit", timeZone }).format(new Date(time));
export const hourMinute = (time, timeZone) => dates({ ...CLOCK, timeZone }).format(new Date(time));
export const day = (time, timeZone) => dates({ day: "numeric", month: "short", timeZone }).format(new Date(time));
export const month = (time, timeZone) => dates({ month: "long", year: "numeric", timeZone }).format(new Date(time));
export const dayTime = (time, timeZone) => `${minute(time, timeZone)}${whichOfTwo(time, timeZone)}`;
export const dayClock = (time, timeZone) => `${day(time, timeZone)} ${clock(time, timeZone)}${whichOfTwo(time, timeZone)}`;
const minute = (time, timeZone) => `${day(time, timeZone)} ${hourMinute(time, timeZone)}`;

/** Where a clock goes back the same time comes twice: " GMT+2" tells one from the other; else empty. */
function whichOfTwo(time, timeZone) {
  const at = new Date(time).getTime();
  const shown = minute(at, timeZone);
  if (!TURNS_MS.some((turn) => minute(at + turn, timeZone) === shown)) return "";
  return ` ${dates({ hour: "numeric", timeZoneName: "shortOffset", timeZone }).formatToParts(at).find((part) => part.type === "timeZoneName").value}`;
}

/** The viewer's own zone, as a name. */
export const ownZone = () => new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A half-open period [start, end) as its first and last day: "1–30 Nov 2026". */
export function period({ start, end }, timeZone) {
  const last = new Date(new Date(end).getTime() - 1);
  const options = { day: "numeric", month: "short", year: "numeric", timeZone };
  return dates(options).formatRange(new Date(start), last).replace(/\s*–\s*/, "–");
}

/** "12 s ago" up to an hour, then the day and time. */
export function ago(time, now_ms, timeZone) {
  if (time == null) return UNKNOWN;
  const seconds = Math.max(0, (now_ms - new Date(time).getTime()) / 1000);
  if (seconds < 1) return "just now";
  if (seconds < 59.5) return `${Math.round(seconds)} s ago`;
  if (seconds < 3570) return `${Math.round(seconds / 60)} min ago`;
  return dayTime(time, timeZone);
}

// ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A long id with its middle cut out; the whole stands in its title. */
export function shortened(id, most = 28) {
  const letters = [...id];
  if (letters.length <= most) return id;
  const half = Math.floor((most - 1) / 2);
  return `${letters.slice(0, most - 1 - half).join("")}…${letters.slice(-half).join("")}`;
}

/** The values of a group, or "all" where a line prices everything. */
export function groupText(group) {
  const parts = Object.entries(group ?? {}).map(([name, value]) => `${name} ${value === "" ? "(none)" : value}`);
  return parts.length ? parts.join(" · ") : "all";
}

/** A threshold in words: "80 % · $400.00", or the amount alone where the rule is an amount. */
export function thresholdText({ rule, threshold, currency }, options) {
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(rule ?? "");
  const amount = money(threshold, currency, options);
  return percent ? `${percent[1]} % · ${amount}` : amount;
}
