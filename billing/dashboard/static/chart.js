// A chart is a figure with a sentence, a cursor that arrow keys move and whose value is text, and its rows as a table.
//
// uPlot draws; it is loaded only where a chart is shown. Amounts stay text for people; points become floats here.

import { Component, createRef } from "./vendor/preact.mjs";
import { dayTime, hourMinute } from "./format.js";
import { html } from "./parts.js";

const TICKS_S = [10, 30, 60, 120, 300];
const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-other"];
const BAR = 0.72; // of its window's width
let loading = null;

/** Where a point stands, in seconds. */
const middleOf = ({ at, end = at }) => (at + end) / 2000;

/** The drawing library, once: a classic script of our own origin. */
function drawing() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.querySelector("meta[name=chart-library]").content;
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => { loading = null; reject(new TypeError("the chart library cannot be loaded")); };
    document.head.append(script);
  });
  return loading;
}

/** A float of the axis as plain digits. */
const tickText = (value) => Number(value.toPrecision(15)).toLocaleString("en-US", { useGrouping: false, maximumFractionDigits: 12 });

/** The colour that a custom property has under the current theme. */
function ink(name) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** Stacks columns of floats, above and below zero apart: each value becomes the far end of its piece. */
export function stacked(columns) {
  const ends = [];
  const above = [];
  const below = [];
  for (const column of columns) {
    ends.push(column.map((value, i) => {
      const side = value < 0 ? below : above;
      side[i] = (side[i] ?? 0) + (value ?? 0);
      return value === null ? null : side[i];
    }));
  }
  return ends;
}

/**
 * points: [{at (ms), end (ms)?, values: [number or plain decimal string, or null], soFar?}], series: [{name}], kind "bars" | "lines", span: [from,
 * to] in ms, format(value) for axis and cursor, exactly(value) for rows, label(point) for its time, ceiling: {value, text}? and zone for the axis.
 * A point with an end is a window: it stands in its middle. With `ticks(ms, zone)` the axis names points, else minutes.
 */
export class Chart extends Component {
  box = createRef();
  state = { cursor: null, table: false, failed: false };

  componentDidMount() {
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.box.current);
    this.themes = matchMedia("(prefers-color-scheme: dark)");
    this.themes.addEventListener("change", this.rebuild);
    addEventListener("themechange", this.rebuild);
    this.rebuild();
  }

  componentDidUpdate(before) {
    const { points, series, kind, zone, ceiling } = this.props;
    if (points === before.points && kind === before.kind && zone === before.zone) return;
    const same = kind === before.kind && zone === before.zone && series.length === before.series.length && ceiling?.value === before.ceiling?.value;
    if (same && this.plot) this.plot.setData(this.data());
    else this.rebuild();
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.themes.removeEventListener("change", this.rebuild);
    removeEventListener("themechange", this.rebuild);
    this.plot?.destroy();
    this.gone = true;
  }

  data() {
    const { points, series, kind } = this.props;
    const columns = series.map((_, i) => points.map(({ values }) => (values[i] === null ? null : Number(values[i]))));
    const drawn = kind === "bars" ? stacked(columns).reverse() : columns;
    return [points.map(middleOf), ...drawn];
  }

  rebuild = async () => {
    try {
      const UPlot = await drawing();
      if (this.gone || !this.box.current) return;
      this.plot?.destroy();
      this.building = true;
      this.plot = new UPlot(this.options(UPlot), this.data(), this.box.current);
      requestAnimationFrame(this.built);
      if (this.state.failed) this.setState({ failed: false });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.setState({ failed: true, table: true });
    }
  };

  /** A new drawing begins without a cursor: it gets the one that stood. */
  built = () => {
    this.building = false;
    if (!this.gone) this.place(this.state.cursor);
  };

  place(cursor) {
    const point = this.props.points[cursor];
    if (point && this.plot) this.plot.setCursor({ left: this.plot.valToPos(middleOf(point), "x"), top: 10 }, false);
  }

  resize() {
    const width = this.box.current.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.rebuild();
  }

  options(UPlot) {
    const { series, kind, zone, format, ceiling, ticks } = this.props;
    const colours = { grid: ink("--hairline"), text: ink("--muted"), card: ink("--card") };
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: colours.text, font, ticks: { show: false } };
    const order = series.map((_, i) => i);
    if (kind === "bars") order.reverse();
    const { clientWidth: width, clientHeight: height } = this.box.current;
    const bars = UPlot.paths.bars({ size: [BAR, Math.min(40, Math.max(1, BAR * this.slot(width - 64)))], align: 0 });
    return {
      width,
      height,
      padding: [12, 20, 0, 0],
      legend: { show: false },
      tzDate: (seconds) => (zone ? UPlot.tzDate(new Date(seconds * 1000), zone) : new Date(seconds * 1000)),
      cursor: { y: false, drag: { x: false, y: false }, points: { show: kind !== "bars", size: 7 } },
      scales: { x: { time: true, range: () => this.props.span.map((at) => at / 1000) }, y: { range: (_, low, high) => this.rise(UPlot, low, high) } },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 76, ...(ticks ? { splits: (_, axis, low, high) => this.splits((high - low) / (width / 86), high), values: (_, at) => at.map((s) => ticks(this.props.points.find((point) => middleOf(point) === s)?.at ?? s * 1000, zone)) } : { incrs: TICKS_S, values: (_, at) => at.map((s) => hourMinute(s * 1000, zone)) }) },
        { ...axis, grid: { stroke: colours.grid, width: 1 }, space: 36, size: (_, texts) => this.gutter(texts, font), values: (_, values) => values.map((v) => (v === null ? "" : format(tickText(v)))) },
      ],
      series: [{}, ...order.map((i) => {
        const colour = ink(SERIES[Math.min(i, SERIES.length - 1)]);
        if (kind !== "bars") return { stroke: colour, width: 2, points: { show: false }, spanGaps: false };
        return { fill: colour, stroke: colours.card, width: 1, paths: bars, points: { show: false } };
      })],
      hooks: {
        setCursor: [(plot) => this.building || this.point(plot.cursor.idx ?? null)],
        draw: [(plot) => this.hatch(plot, colours), (plot) => ceiling && drawCeiling(plot, ceiling, ink("--bad"), font)],
      },
    };
  }

  /** The part of `size` that the last window takes. */
  slot(size) {
    const { points, span } = this.props;
    const last = points.at(-1);
    return last?.end ? (size * (last.end - last.at)) / (span[1] - span[0]) : size;
  }

  rise(UPlot, low, high) {
    const top = Math.max(high ?? 0, this.props.ceiling?.value ?? 0) || 1;
    return [Math.min(0, (low ?? 0) * 1.1), UPlot.rangeNum(0, top, 0.1, true)[1]];
  }

  /** Points that may be named: at least `apart` from each other, and not too close to the right edge. */
  splits(apart, high) {
    let next = -Infinity;
    return this.props.points.map(middleOf).filter((at) => at >= next && at <= high - apart * 0.4 && (next = at + apart));
  }

  gutter(texts, font) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = font;
    return Math.ceil(Math.max(24, ...(texts ?? []).map((text) => pen.measureText(text).width))) + 14;
  }

  /** The running window is hatched: it is "so far". */
  hatch(plot, colours) {
    const last = this.props.points.at(-1);
    if (this.props.kind !== "bars" || !last?.soFar) return;
    const total = last.values.reduce((sum, value) => sum + Math.max(0, Number(value ?? 0)), 0);
    const [top, bottom] = [total, 0].map((value) => plot.valToPos(value, "y", true));
    const pen = plot.ctx;
    const middle = plot.valToPos(middleOf(last), "x", true);
    const half = Math.min((BAR / 2) * this.slot(plot.bbox.width), 20 * devicePixelRatio) + 1;
    pen.save();
    pen.beginPath();
    pen.rect(middle - half, top, half * 2, bottom - top);
    pen.clip();
    pen.strokeStyle = colours.card;
    pen.lineWidth = 1.5 * devicePixelRatio;
    const gap = 6 * devicePixelRatio;
    pen.beginPath();
    for (let x = middle - half - (bottom - top); x < middle + half; x += gap) {
      pen.moveTo(x, bottom);
      pen.lineTo(x + (bottom - top), top);
    }
    pen.stroke();
    pen.restore();
  }

  point(cursor) {
    if (cursor !== this.state.cursor) this.setState({ cursor });
  }

  move = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const { points } = this.props;
    if (!step || !points.length) return;
    event.preventDefault();
    const from = this.state.cursor ?? (step > 0 ? -1 : points.length);
    const cursor = Math.min(points.length - 1, Math.max(0, from + step));
    this.point(cursor);
    this.place(cursor);
  };

  render({ sentence, points, series, format, exactly = format, label, empty }, { cursor, table, failed }) {
    const point = cursor === null ? null : points[cursor];
    const told = (show) => (at, i) => (at.values[i] === null ? "–" : show(at.values[i]));
    const [short, value] = [told(format), told(exactly)];
    return html`<figure class="chart">
      <figcaption>${sentence}</figcaption>
      ${failed && html`<p class="failed">The chart cannot be drawn: its library did not load. The rows follow.</p>`}
      <div class="plot ${points.length ? "" : "blank"}" ref=${this.box} tabindex="0" role="group" aria-label="Chart. Arrow keys move along it." onKeyDown=${this.move}>
        ${points.length === 0 && html`<p class="nothing">${empty ?? "Nothing in this period yet."}</p>`}</div>
      <div class="below"><ul class="legend">${series.map(({ name }, i) => html`<li key=${name}><span class="swatch s${Math.min(i, 4) + 1}"></span>${name}${point && html` <b class="number">${short(point, i)}</b>`}</li>`)}
        <li class="at muted" aria-live="polite">${point ? label(point) : ""}</li></ul>
      <span class="tools"><button class="quiet" aria-expanded=${table ? "true" : "false"} onClick=${() => this.setState({ table: !table })}>${table ? "Hide table" : "Show as table"}</button>
        ${table && html`<button class="quiet" onClick=${() => saveRows(points, series, value, label)}>Save as CSV</button>`}</span></div>
      ${table && html`<div class="rows" tabindex="0"><table><thead><tr><th>Time</th>${series.map(({ name }) => html`<th class="number">${name}</th>`)}</tr></thead>
        <tbody>${points.map((at) => html`<tr key=${at.at}><td>${label(at)}</td>${series.map((_, i) => html`<td class="number">${value(at, i)}</td>`)}</tr>`)}</tbody></table></div>`}
    </figure>`;
  }
}

function drawCeiling(plot, { value, text }, colour, font) {
  const y = plot.valToPos(value, "y", true);
  const pen = plot.ctx;
  pen.save();
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = devicePixelRatio;
  pen.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  pen.beginPath();
  pen.moveTo(plot.bbox.left, y);
  pen.lineTo(plot.bbox.left + plot.bbox.width, y);
  pen.stroke();
  pen.font = font.replace("12px", `${12 * devicePixelRatio}px`);
  pen.textAlign = "left";
  pen.fillText(text, plot.bbox.left + 6 * devicePixelRatio, y - 5 * devicePixelRatio);
  pen.restore();
}

function saveRows(points, series, value, label) {
  const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const guarded = (text) => (/^[=+@\t\r]|^-(?!\d)/.test(text) ? `'${text}` : text);
  const lines = [["start", ...series.map((s) => s.name)], ...points.map((at) => [new Date(at.at).toISOString(), ...series.map((_, i) => value(at, i))])];
  const text = lines.map((line) => line.map((part) => cell(guarded(String(part)))).join(",")).join("\r\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "keylane.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const atDayTime = (zone) => (point) => `${dayTime(point.at, zone)}${point.soFar ? ", so far" : ""}`;
