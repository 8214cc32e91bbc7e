// Charts of other kinds of looks: the density as a ridge over steps, the index as an area, the path-angle.

import { Chart } from "./charts.js";
import { ATTRACTS, NEUTRAL, REPELS, classesOf, short } from "./numbers.js";
import { LINEAR, symlog, thresholdFor, widen } from "./scales.js";

const RIDGES = 30;

/** Return the looks to draw: at most RIDGES of them, evenly, and the present one. */
export function spread(looks, index) {
  const stride = Math.max(1, Math.ceil(looks.length / RIDGES));
  const chosen = looks.map((look, k) => [look, k]).filter(([, k]) => (looks.length - 1 - k) % stride === 0 || k === index);
  return chosen.map(([look, k]) => ({ look, present: k === index }));
}

/** Return the axis of eigenvalues that serves all steps of several densities. */
export function densityAxis(all, scale) {
  let [low, high, small] = [0, 0, Infinity];
  for (const look of all) {
    const { grid } = look.arrays;
    [low, high] = [Math.min(low, grid[0]), Math.max(high, grid[grid.length - 1])];
    small = Math.min(small, look.width);
  }
  const axis = scale === "linear" ? LINEAR : symlog(thresholdFor(small, Math.max(high, -low)));
  return { axis, range: widen([low, high].map(axis.forward), 0.02).map(axis.inverse) };
}

/** What one eigenvalue of n would show as, divided by ten: below it there is nothing to see. */
const floorOf = (look) => 0.1 / (look.n * look.width * Math.sqrt(2 * Math.PI));

/**
 * Draw densities of all steps one behind the other, the latest in front, over the bounds on the present one's
 * distribution function: the density is smoothed and has no bound, the distribution function has.
 *
 * @param scene {looks, index, axis: what `densityAxis` returned}
 */
export function drawDensity(painter, { looks, index, axis: { axis, range } }, ink) {
  const rows = spread(looks, index);
  const split = Math.round(painter.height * 0.62);
  const tallest = Math.max(...rows.map(({ look }) => look.arrays.density.reduce((a, b) => Math.max(a, Number.isFinite(b) ? b : 0), 0) / floorOf(look)));
  const reach = Math.max(1, Math.log10(tallest));
  const overlap = rows.length > 1 ? 3 : 1;
  const top = { x: 0, y: 0, width: painter.width, height: split };
  const ridge = new Chart(painter, { x: range, y: [-0.3, rows.length - 1 + overlap], xScale: axis, box: top, bottom: 24, left: 68 });
  const labelled = rows.filter((row, k) => row.present || k === 0 || k === rows.length - 1);
  const yTicks = labelled.map((row) => ({ at: rows.length - 1 - rows.indexOf(row), label: String(row.look.step) }));
  ridge.fill(ink, { xLabel: "", yLabel: rows.length > 1 ? "step" : "log density", yTicks: rows.length > 1 ? apart(yTicks, rows.length / 8) : [] }, () => {
    rows.forEach(({ look, present }, k) => {
      const { grid, density } = look.arrays;
      const base = rows.length - 1 - k;
      const height = (d) => base + (overlap * Math.max(0, Math.log10(Math.max(d, 1e-300) / floorOf(look)))) / reach;
      const points = Array.from(grid, (x, i) => [ridge.x(x), ridge.y(Number.isFinite(density[i]) ? height(density[i]) : base)]);
      painter.area([[[points[0][0], ridge.y(base)], ...points, [points.at(-1)[0], ridge.y(base)]]], ink.panel, 0.8);
      const zero = ridge.x(0);
      for (const [left, right, colour] of [[ridge.left, zero, ink.repels], [zero, ridge.left + ridge.width, ink.attracts]]) {
        painter.clip(left, ridge.top, Math.max(0, right - left), ridge.height);
        painter.area([[[points[0][0], ridge.y(base)], ...points, [points.at(-1)[0], ridge.y(base)]]], colour, present ? 0.5 : 0.14);
        painter.unclip();
      }
      painter.line(points, present ? ink.text : ink.faint, { width: present ? 1.6 : 0.8 });
    });
  });
  drawDistribution(painter, looks[index], { axis, range }, { x: 0, y: split, width: painter.width, height: painter.height - split }, ink);
}

function apart(marks, gap) {
  return marks.filter((mark, k) => marks.every((other, j) => j >= k || Math.abs(other.at - mark.at) >= gap));
}

function drawDistribution(painter, look, { axis, range }, box, ink) {
  const { grid, lower, upper } = look.arrays;
  const chart = new Chart(painter, { x: range, y: [-0.03, 1.03], xScale: axis, box, left: 68 });
  const log = axis.name === "symlog" ? `  (log, linear below ${short(axis.threshold)})` : "";
  chart.fill(ink, { xLabel: `eigenvalue${log}`, yLabel: "fraction below" }, () => {
    chart.band(Array.from(grid, (x, i) => [x, lower[i], upper[i]]), ink.text, 0.3);
  });
}

/** Return one sentence on a density. */
export function densitySummary(look) {
  const atom = look.atom ? `, ${short(100 * look.atom[0])} % to ${short(100 * look.atom[1])} % are zero` : "";
  return `${look.n} eigenvalues, ${look.matvecs} products; band at ${short(100 * look.confidence)} %${atom}`;
}

/** Return the index of whole spectra by counting, in the form of an index's look. */
export function indexOfSpectra(looks) {
  return looks
    .filter((look) => look.complete && look.operator !== "map" && look.count)
    .map((look) => {
      const { counts } = classesOf(look, 0);
      const share = (kind) => counts[kind] / look.count;
      const [negative, zero, positive] = [REPELS, NEUTRAL, ATTRACTS].map(share);
      const rest = 1 - negative - zero - positive; // undecided: on either side
      const interval = { negative: [negative, negative + rest], zero: [zero, zero], positive: [positive, positive + rest] };
      return { step: look.step, negative, zero, positive, interval, n: look.n, method: "whole spectrum", tolerance: look.neutral };
    });
}

/** Draw the fractions of one step as bars with their intervals. */
function drawBars(painter, look, ink) {
  const names = ["positive", "zero", "negative"]; // at 1, 2, 3: a line at 0 would be an axis
  const colours = { positive: ink.attracts, zero: ink.neutral, negative: ink.repels };
  const chart = new Chart(painter, { x: [0, 1], y: [0.4, 3.6], left: 70 });
  chart.fill(ink, { xLabel: "fraction", yLabel: "", yTicks: names.map((label, k) => ({ at: k + 1, label })) }, () => {
    names.forEach((name, k) => {
      const row = k + 1;
      const [low, high] = look.interval[name];
      const top = chart.y(row + 0.3);
      painter.rect(chart.x(0), top, chart.x(look[name] ?? low) - chart.x(0), chart.y(row - 0.3) - top, colours[name]);
      painter.line([[chart.x(low), chart.y(row)], [chart.x(high), chart.y(row)]], ink.text, { width: 2.5 });
    });
  });
}

/** Draw the fractions of negative, zero and positive eigenvalues over steps, stacked, with the intervals of the edges. */
export function drawIndex(painter, { looks, step }, ink) {
  if (looks.length === 1) return drawBars(painter, looks[0], ink);
  const steps = looks.map((look) => look.step);
  const chart = new Chart(painter, { x: widen([steps[0], steps.at(-1)], 0.02), y: [0, 1] });
  const middle = (look, name) => look[name] ?? (look.interval[name][0] + look.interval[name][1]) / 2;
  const edges = looks.map((look) => [look.step, middle(look, "negative"), 1 - middle(look, "positive")]);
  chart.fill(ink, { xLabel: "step", yLabel: "fraction", least: 1 }, () => {
    chart.band(edges.map(([x, low]) => [x, 0, low]), ink.repels, 0.45);
    chart.band(edges.map(([x, low, high]) => [x, low, Math.max(low, high)]), ink.neutral, 0.3);
    chart.band(edges.map(([x, low, high]) => [x, Math.max(low, high), 1]), ink.attracts, 0.35);
    for (const [name, flip] of [["negative", false], ["positive", true]]) {
      const bounds = looks.map(({ step: x, interval }) => [x, ...(flip ? [1 - interval[name][1], 1 - interval[name][0]] : interval[name])]);
      chart.band(bounds, ink.text, 0.25);
      for (const [x, low, high] of bounds) painter.line([[chart.x(x), chart.y(low)], [chart.x(x), chart.y(high)]], ink.text, { width: 2 });
      chart.curve(bounds.map(([x, low, high]) => [x, (low + high) / 2]), ink.text, { width: 1.2 });
    }
    painter.line([[chart.x(step), chart.top], [chart.x(step), chart.top + chart.height]], ink.text, { dash: [4, 3] });
  });
  return chart;
}

const METHODS = { exact: "counted", "whole spectrum": "counted" };

/** Return one sentence on an index. */
export function indexSummary(look) {
  const part = (name) => {
    const [low, high] = look.interval[name].map((x) => `${short(100 * x)} %`);
    const known = look[name] === null ? "" : ` ${short(100 * look[name])} %`;
    return name + known + (low === high ? "" : ` (${low} to ${high})`);
  };
  return `${look.n} eigenvalues, ${METHODS[look.method] ?? `by ${look.method}`}: ${["negative", "zero", "positive"].map(part).join(", ")}`;
}

/** Draw the cosine between the field and the path, and the norm of the field, along the path; one line for each run. */
export function drawPath(painter, { paths, colours }, ink) {
  const split = Math.round(painter.height * 0.6);
  const x = widen([Math.min(...paths.map((p) => p.arrays.alpha[0])), Math.max(...paths.map((p) => p.arrays.alpha.at(-1)))], 0.01);
  const cosine = new Chart(painter, { x, y: [-1.05, 1.05], box: { x: 0, y: 0, width: painter.width, height: split }, bottom: 24 });
  const norms = paths.flatMap((p) => [...p.arrays.norm]).filter((n) => n > 0 && Number.isFinite(n));
  const [low, high] = [Math.log10(Math.min(...norms)), Math.log10(Math.max(...norms))].map((l) => (Number.isFinite(l) ? l : 0));
  const norm = new Chart(painter, { x, y: widen([low, high], 0.1), box: { x: 0, y: split, width: painter.width, height: painter.height - split } });
  const curves = (chart, name, of) => () => {
    for (const end of [0, 1]) painter.line([[chart.x(end), chart.top], [chart.x(end), chart.top + chart.height]], ink.axis, { dash: [4, 3] });
    paths.forEach((path, k) => chart.curve(Array.from(path.arrays.alpha, (a, i) => [a, of(path.arrays[name][i])]), colours[k], { width: 1.6 }));
  };
  cosine.fill(ink, { xLabel: "", yLabel: "cosine" }, curves(cosine, "cosine", (v) => v));
  norm.fill(ink, { xLabel: "along the path: 0 the start, 1 the end", yLabel: "log₁₀ norm" }, curves(norm, "norm", Math.log10));
}

/** Return one sentence on a path. */
export function pathSummary(look) {
  return `length ${short(look.distance)}; attraction ${short(look.attraction, 3)} (1 attracts, −1 repels), rotation ${short(look.rotation, 3)}`;
}
