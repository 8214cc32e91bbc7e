// Charts over steps: axes for any of them, numbers of spectra, and their lines with the present step marked.

import { ATTRACTS, REPELS, SELECTIONS, classesOf, lookAt, stepFactor } from "./numbers.js";
import { LINEAR, symlog, thresholdFor, ticks, widen } from "./scales.js";

/** Axes in a box: from numbers to pixels, the grid, and the labels. */
export class Chart {
  constructor(painter, { left = 64, top = 10, right = 12, bottom = 42, x, y, xScale = LINEAR, yScale = LINEAR, box = null }) {
    const area = box ?? { x: 0, y: 0, width: painter.width, height: painter.height };
    Object.assign(this, { painter, xScale, yScale, left: area.x + left, top: area.y + top });
    this.width = Math.max(20, area.width - left - right);
    this.height = Math.max(20, area.height - top - bottom);
    this.xs = x.map(xScale.forward);
    this.ys = y.map(yScale.forward);
  }

  x(value) {
    return this.left + ((this.xScale.forward(value) - this.xs[0]) / (this.xs[1] - this.xs[0])) * this.width;
  }

  y(value) {
    return this.top + ((this.ys[1] - this.yScale.forward(value)) / (this.ys[1] - this.ys[0])) * this.height;
  }

  step(pixel) {
    return this.xScale.inverse(this.xs[0] + ((pixel - this.left) / this.width) * (this.xs[1] - this.xs[0]));
  }

  /** Draw the ground, then what `draw` draws within the box, then the labels. */
  fill(ink, { xLabel, yLabel, yTicks = null, least = 0 }, draw) {
    const { painter, left, top, width, height } = this;
    painter.rect(left, top, width, height, ink.panel);
    const across = ticks(this.xScale, ...this.xs, width, 60, least);
    const up = yTicks ?? ticks(this.yScale, ...this.ys, height, 22);
    const [toX, toY] = [(at) => this.x(this.xScale.inverse(at)), (at) => this.y(this.yScale.inverse(at))];
    for (const { at } of across) painter.line([[toX(at), top], [toX(at), top + height]], at === 0 ? ink.axis : ink.grid);
    for (const { at } of up) painter.line([[left, toY(at)], [left + width, toY(at)]], at === 0 ? ink.axis : ink.grid);
    painter.clip(left, top, width, height);
    draw(this);
    painter.unclip();
    for (const { at, label } of across) painter.text(label, toX(at), top + height + 12, { size: 11, colour: ink.text, align: "center" });
    for (const { at, label } of up) painter.text(label, left - 6, toY(at), { size: 11, colour: ink.text, align: "right" });
    painter.text(xLabel, left + width / 2, top + height + 31, { size: 12, colour: ink.text, align: "center" });
    painter.text(yLabel, left - 54, top + height / 2, { size: 12, colour: ink.text, align: "center", turned: true });
  }

  /** Draw points (x, y) as a line; it is broken where a number is missing. */
  curve(points, colour, style = {}) {
    let run = [];
    for (const [x, y] of [...points, [NaN, NaN]]) {
      if (Number.isFinite(x) && Number.isFinite(y)) run.push([this.x(x), this.y(y)]);
      else {
        if (run.length === 1) this.painter.markers("circle", run[0], 2.5, colour);
        if (run.length > 1) this.painter.line(run, colour, style);
        run = [];
      }
    }
  }

  /** Fill between two lines given as (x, low, high). */
  band(points, colour, alpha) {
    const known = points.filter((point) => point.every(Number.isFinite));
    const lower = known.map(([x, low]) => [this.x(x), this.y(low)]);
    const upper = known.map(([x, , high]) => [this.x(x), this.y(high)]);
    if (known.length) this.painter.area([[...lower, ...upper.toReversed()]], colour, alpha);
  }
}

const modulus = (look, i) => (look.imag ? Math.hypot(look.real[i], look.imag[i]) : Math.abs(look.real[i]));
const least = (look, of) => -most(look, (i) => -of(i));

function most(look, of) {
  let best = -Infinity;
  for (let i = 0; i < look.count; i++) {
    const value = of(i);
    if (value > best && Number.isFinite(value)) best = value;
  }
  return best;
}

/** Numbers of a spectrum, one for each step. */
export const MEASURES = {
  smallest: { label: "smallest Re λ", of: (look) => least(look, (i) => look.real[i]) },
  largest: { label: "largest |λ|", of: (look) => most(look, (i) => modulus(look, i)) },
  rotation: { label: "largest |Im λ|", of: (look) => (look.imag ? most(look, (i) => Math.abs(look.imag[i])) : NaN) },
  rate: { label: "largest factor of a step", of: (look, lr) => (look.operator === "map" || lr > 0 ? most(look, (i) => stepFactor(look, i, lr)) : NaN) },
  repelling: { label: "how many repel", of: (look, lr) => classesOf(look, lr).counts[REPELS] },
  attracting: { label: "how many attract", of: (look, lr) => classesOf(look, lr).counts[ATTRACTS] },
};

// What a search for some of the eigenvalues answers of all of them.
const ANSWERS = { smallest: ["SR", "SA", "BE"], largest: ["LM"], rotation: ["LI"] };

/** Return the searches, by abbreviation, that answer for a number what it is of all eigenvalues. */
export const answersTo = (measure) => ANSWERS[measure] ?? [];

/**
 * Return the name of a number of spectra; where it is one of the eigenvalues that were computed, not of all, it says of how
 * many, and what their search was for.
 */
export function measureName(measure, looks) {
  const { label } = MEASURES[measure];
  const told = (look) => look.complete !== false || answersTo(measure).includes(look.which) || (measure === "rate" && look.operator === "map" && look.which === "LM");
  if (looks.every(told)) return label;
  const [searches, counts] = [new Set(looks.map(({ which }) => which)), new Set(looks.map(({ count }) => count))];
  const [search] = searches;
  if (searches.size > 1 || !SELECTIONS[search]) return `${label} of those computed`;
  return `${label} among ${counts.size > 1 ? "those computed" : [...counts][0]} (${SELECTIONS[search]})`;
}

/** Return (step, number) of a series; kept as long as nothing that it depends on changes. */
export function measured(series, measure, lr) {
  const key = `${measure} ${series.looks.length} ${["rate", "repelling", "attracting"].includes(measure) ? lr : ""}`;
  series.measured ??= new Map();
  if (!series.measured.has(key)) {
    if (series.measured.size > 20) series.measured.clear();
    series.measured.set(key, series.looks.map((look) => [look.step, MEASURES[measure].of(look, lr)]));
  }
  return series.measured.get(key);
}

/** Return the last point (step, value) of a line up to a step, or none. */
export const pointAt = (line, step) => line[lookAt(line, step, ([x]) => x)] ?? [NaN, NaN];

/**
 * Draw lines over steps; return the chart, which tells the step of a pixel.
 *
 * @param scene {lines: [[(step, value), ...], ...], colours, span}; span is the first and the last step
 */
export function drawLines(painter, { lines, colours, span }, ink) {
  const values = lines.flat().filter(([, y]) => Number.isFinite(y));
  const ends = [values.reduce((a, [, b]) => Math.min(a, b), Infinity), values.reduce((a, [, b]) => Math.max(a, b), -Infinity)];
  const y = widen(ends.map((v) => (Number.isFinite(v) ? v : 0)), 0.1);
  const chart = new Chart(painter, { x: widen(span, 0.02), y, yScale: scaleOf(values), left: 50, top: 6, right: 17, bottom: 22 });
  chart.fill(ink, { xLabel: "", yLabel: "", least: 1 }, () => lines.forEach((line, k) => chart.curve(line, colours[k], { width: 1.5 })));
  return chart;
}

/** Mark the present step in a chart, and the last point of each line up to it. */
export function markStep(painter, chart, { lines, colours, step }, ink) {
  painter.clip(chart.left, chart.top, chart.width, chart.height);
  painter.line([[chart.x(step), chart.top], [chart.x(step), chart.top + chart.height]], ink.text, { width: 1.4, dash: [4, 3] });
  lines.forEach((line, k) => {
    const [x, value] = pointAt(line, step);
    if (Number.isFinite(value)) painter.markers("circle", [chart.x(x), chart.y(value)], 3.5, colours[k]);
  });
  painter.unclip();
}

/** Draw lines over steps with the present one marked, `scene` as for both. */
export function drawOverSteps(painter, scene, ink) {
  markStep(painter, drawLines(painter, scene, ink), scene, ink);
}

/** Return a linear scale, or a logarithmic one where the sizes span more than three decades. */
export function scaleOf(points) {
  const sizes = points.map(([, y]) => Math.abs(y)).filter((size) => size > 0).sort((a, b) => a - b);
  if (!sizes.length) return LINEAR;
  const [small, large] = [sizes[Math.floor(sizes.length / 20)], sizes[sizes.length - 1]];
  return large / small > 1e3 ? symlog(thresholdFor(small, large)) : LINEAR;
}
