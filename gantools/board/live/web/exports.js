// What is shown as a file: SVG, PNG, CSV.

import { drawOverSteps } from "./charts.js";
import { CLASSES, classOf, stepFactor } from "./numbers.js";
import { CanvasPainter, SvgPainter } from "./painter.js";

const [PANEL_WIDTH, PANEL_HEIGHT, HEAD] = [520, 430, 44];
const [SMALL_WIDTH, SMALL_HEIGHT, SMALL_HEAD] = [260, 130, 24]; // of a chart over steps

/** Draw all panels in one picture, two in a row, each below its title and sentence, and under them what goes over steps. */
function compose({ panels, charts }, ink, make) {
  const columns = Math.min(2, panels.length);
  const rows = Math.ceil(panels.length / columns);
  const below = rows * (PANEL_HEIGHT + HEAD);
  const inRow = (columns * PANEL_WIDTH) / SMALL_WIDTH;
  const painter = make(columns * PANEL_WIDTH, below + Math.ceil(charts.length / inRow) * (SMALL_HEIGHT + SMALL_HEAD));
  painter.rect(0, 0, painter.width, painter.height, ink.background);
  panels.forEach((panel, k) => {
    const [x, y] = [(k % columns) * PANEL_WIDTH, Math.floor(k / columns) * (PANEL_HEIGHT + HEAD)];
    painter.text(panel.title, x + 12, y + 15, { size: 13, colour: panel.colour ?? ink.text, bold: true });
    painter.text(panel.sentence.length > 88 ? `${panel.sentence.slice(0, 87)}…` : panel.sentence, x + 12, y + 34, { size: 11, colour: ink.faint });
    painter.group(x, y + HEAD, PANEL_WIDTH, PANEL_HEIGHT, (inner) => panel.draw(inner));
  });
  charts.forEach((chart, k) => {
    const [x, y] = [(k % inRow) * SMALL_WIDTH, below + Math.floor(k / inRow) * (SMALL_HEIGHT + SMALL_HEAD)];
    painter.text(chart.name, x + 12, y + SMALL_HEAD / 2, { size: 11, colour: ink.text, bold: true });
    painter.group(x, y + SMALL_HEAD, SMALL_WIDTH, SMALL_HEIGHT, (inner) => drawOverSteps(inner, chart, ink));
  });
  return painter;
}

/** Return a picture's parts as the text of an SVG file. */
const svgOf = (parts, ink) => String(compose(parts, ink, (width, height) => new SvgPainter(width, height)));

/** Return a picture's parts as a PNG file, twice as fine as the screen's pixels. */
function pngOf(parts, ink) {
  const canvas = document.createElement("canvas");
  compose(parts, ink, (width, height) => {
    [canvas.width, canvas.height] = [2 * width, 2 * height];
    return new CanvasPainter(canvas.getContext("2d"), width, height, 2);
  });
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Return a cell: text that a spreadsheet would run as a formula is quoted. */
function cell(value) {
  if (typeof value === "number") return String(value);
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Return rows of cells as CSV. */
const csvText = (rows) => `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;

/** Return eigenvalues as rows, the names of the columns first. */
function spectrumRows(shown, lr) {
  const parts = [...new Set(shown.flatMap(({ look }) => Object.keys(look.shares)))];
  const head = ["run", "tag", "step", "real", "imag", "residual", "error", "converged", "class", "factor", ...parts.map((part) => `share ${part}`)];
  const rows = shown.flatMap(({ series, look }) =>
    Array.from({ length: look.count }, (_, i) => [
      series.run, series.tag, look.step, look.real[i], look.imag ? look.imag[i] : 0,
      look.residual?.[i] ?? "", look.error?.[i] ?? "", look.converged[i], CLASSES[classOf(look, i, lr)],
      look.operator === "map" || lr > 0 ? stepFactor(look, i, lr) : "", ...parts.map((part) => look.shares[part]?.[i] ?? ""),
    ]),
  );
  return [head, ...rows];
}

/** Return the arrays of other looks as rows. */
function arrayRows(shown) {
  const names = Object.keys(shown[0].look.arrays);
  const rows = shown.flatMap(({ series, look }) =>
    Array.from(look.arrays[names[0]] ?? [], (_, i) => [series.run, series.tag, look.step, ...names.map((name) => look.arrays[name][i])]),
  );
  return [["run", "tag", "step", ...names], ...rows];
}

/** Return indices over all steps as rows. */
function indexRows(shown) {
  const names = ["negative", "zero", "positive"];
  const head = ["run", "tag", "step", ...names.flatMap((name) => [name, `${name} low`, `${name} high`]), "tolerance", "n", "method"];
  const rows = shown.flatMap(({ series, looks }) =>
    looks.map((look) => [series.run, series.tag, look.step, ...names.flatMap((name) => [look[name], ...look.interval[name]]), look.tolerance, look.n, look.method]),
  );
  return [head, ...rows];
}

function csvOf(view) {
  const shown = view.shownLooks();
  const scene = view.scene();
  if (scene) return csvText(spectrumRows(shown, scene.judgedBy || scene.lr));
  if (view.state.view === "index") return csvText(indexRows(view.specs()));
  return csvText(arrayRows(shown));
}

/** Save what a view shows as SVG, PNG or CSV. */
export async function saveAs(kind, view) {
  const name = `${view.state.view}-${view.state.tag}-step-${view.step()}`;
  if (kind === "CSV") return save(`${name}.csv`, csvOf(view), "text/csv");
  const parts = { panels: view.specs(), charts: view.over.specs() };
  if (kind === "SVG") return save(`${name}.svg`, svgOf(parts, view.ink), "image/svg+xml");
  return save(`${name}.png`, await pngOf(parts, view.ink), "image/png");
}

/** Let the browser save a file. */
function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name.replace(/[^\w.-]+/g, "-");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
