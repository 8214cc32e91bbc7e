// The complex plane: axes, the stable region, trails and eigenvalues of one or several runs at one step.

import { ATTRACTS, NEUTRAL, NOT_FINITE, REPELS, SELECTIONS, UNDECIDED, classesOf, short, stepFactor } from "./numbers.js";
import { discBoundary, ticks } from "./scales.js";

export const MARGIN = { left: 56, right: 12, top: 10, bottom: 42 };
const MOST_BESIDE = 3; // of the numbers that were logged with a spectrum
const SHAPES = { [ATTRACTS]: "circle", [REPELS]: "diamond", [NEUTRAL]: "cross", [UNDECIDED]: "square" };
const NAMES = { [ATTRACTS]: "attracts", [REPELS]: "repels", [NEUTRAL]: "neutral", [UNDECIDED]: "undecided" };

/**
 * The place of a panel's points: from eigenvalues to pixels and back.
 *
 * @param scene what is drawn: see `drawPlane`
 */
export class Geometry {
  constructor(scene, width, height) {
    this.scene = scene;
    this.left = MARGIN.left;
    this.top = MARGIN.top;
    this.width = Math.max(20, width - MARGIN.left - MARGIN.right);
    this.height = Math.max(20, height - MARGIN.top - MARGIN.bottom);
    this.window = scene.frame.square ? squared(scene.window, this.width / this.height) : scene.window;
  }

  toX(u) {
    return this.left + ((u - this.window.x0) / (this.window.x1 - this.window.x0)) * this.width;
  }

  toY(v) {
    return this.top + ((this.window.y1 - v) / (this.window.y1 - this.window.y0)) * this.height;
  }

  /** Scaled coordinates of a pixel. */
  fromPixels(x, y) {
    const { x0, x1, y0, y1 } = this.window;
    return [x0 + ((x - this.left) / this.width) * (x1 - x0), y1 - ((y - this.top) / this.height) * (y1 - y0)];
  }

  /** Scaled coordinates of a complex number; on the unit circle's axes a field's eigenvalue is shown as 1 - lr λ. */
  scaled(re, im) {
    const { frame, scale, map, lr } = this.scene;
    if (scale === "circle" && !map) [re, im] = [1 - lr * re, -lr * im];
    return [frame.x.forward(re), frame.y.forward(im)];
  }

  /** Pixels of an eigenvalue; of a real one the height is its rank. */
  pixels(look, i) {
    const [u, v] = this.scaled(look.real[i], look.imag ? look.imag[i] : 0);
    return [this.toX(u), this.toY(this.scene.real ? look.rank[i] : v)];
  }

  inside(x, y) {
    return x >= this.left && x <= this.left + this.width && y >= this.top && y <= this.top + this.height;
  }
}

/** Widen a window so that its units are equally long both ways. */
function squared({ x0, x1, y0, y1 }, aspect) {
  const stretch = (low, high, part) => {
    const [middle, half] = [(low + high) / 2, ((high - low) / 2) * part];
    return [middle - half, middle + half];
  };
  const present = (x1 - x0) / (y1 - y0);
  if (present < aspect) [x0, x1] = stretch(x0, x1, aspect / present);
  else [y0, y1] = stretch(y0, y1, present / aspect);
  return { x0, x1, y0, y1 };
}

/**
 * Draw a panel and return the pixels of its points, for the pointer to find them.
 *
 * @param painter a canvas or an SVG
 * @param scene {layers: [{series, index, colour}], frame, window, scale, region, lr, map, real, trail, chosen}; a
 *   layer's colour is null where colours tell classes and not runs
 * @param ink the colours of the theme
 */
export function drawPlane(painter, scene, ink) {
  const geometry = new Geometry(scene, painter.width, painter.height);
  const { left, top, width, height } = geometry;
  painter.rect(left, top, width, height, ink.panel);
  painter.clip(left, top, width, height);
  drawRegion(painter, geometry, ink);
  const axes = drawGrid(painter, geometry, ink);
  if (scene.chosen) drawChain(painter, geometry, ink);
  for (const layer of scene.layers) drawTrails(painter, geometry, layer, ink);
  const places = scene.layers.map((layer) => drawPoints(painter, geometry, layer, ink));
  if (scene.chosen) drawChosen(painter, geometry, ink);
  painter.unclip();
  drawLabels(painter, geometry, axes, ink);
  const outside = places.reduce((sum, place) => sum + place.outside, 0);
  if (outside) painter.text(`${outside} outside the axes`, left + width - 6, top + 11, { size: 11, colour: ink.repels, align: "right" });
  return { geometry, places };
}

/** Tint where steps move away; draw the edge of the region where they come nearer. */
function drawRegion(painter, geometry, ink) {
  const { scene, left, top, width, height } = geometry;
  const whole = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]];
  const edge = regionEdge(geometry);
  if (!edge) return;
  painter.area([whole, edge], ink.repels, 0.07);
  if (scene.region !== "half") painter.line([...edge, edge[0]], ink.faint, { width: 1.2 });
}

function regionEdge(geometry) {
  const { scene, top, height, left, width } = geometry;
  const [x, y] = [(u) => geometry.toX(u), (v) => geometry.toY(v)];
  const box = (from, to) => [[from, top], [to, top], [to, top + height], [from, top + height]];
  const clamp = (value) => Math.min(Math.max(value, left - 5), left + width + 5);
  if (scene.map || scene.scale === "circle") {
    if (scene.real) return box(clamp(x(scene.frame.x.forward(-1))), clamp(x(scene.frame.x.forward(1))));
    const turn = Array.from({ length: 241 }, (_, i) => (2 * Math.PI * i) / 240);
    return turn.map((a) => [x(scene.frame.x.forward(Math.cos(a))), y(scene.frame.y.forward(Math.sin(a)))]);
  }
  if (scene.region === "half") return box(clamp(x(0)), left + width + 5);
  if (scene.region !== "disc") return null;
  if (scene.real) return box(clamp(x(0)), clamp(x(scene.frame.x.forward(2 / scene.lr))));
  return discBoundary(scene.lr).map(([re, im]) => [x(scene.frame.x.forward(re)), y(scene.frame.y.forward(im))]);
}

function drawGrid(painter, geometry, ink) {
  const { scene, left, top, width, height, window } = geometry;
  const across = ticks(scene.frame.x, window.x0, window.x1, width, 46);
  const up = ticks(scene.frame.y, window.y0, window.y1, height, 24);
  for (const { at } of across) {
    const x = Math.round(geometry.toX(at)) + 0.5;
    painter.line([[x, top], [x, top + height]], at === 0 ? ink.axis : ink.grid);
  }
  for (const { at } of up) {
    const y = Math.round(geometry.toY(at)) + 0.5;
    painter.line([[left, y], [left + width, y]], at === 0 ? ink.axis : ink.grid);
  }
  return { across, up };
}

function drawLabels(painter, geometry, { across, up }, ink) {
  const { scene, left, top, width, height } = geometry;
  for (const { at, label } of across) {
    const x = geometry.toX(at);
    painter.text(label, x, top + height + 12, { size: 11, colour: ink.text, align: "center" });
  }
  for (const { at, label } of up) painter.text(label, left - 6, geometry.toY(at), { size: 11, colour: ink.text, align: "right" });
  const { x, y } = axisNames(scene);
  painter.text(x, left + width / 2, top + height + 31, { size: 12, colour: ink.text, align: "center" });
  painter.text(y, 11, top + height / 2, { size: 12, colour: ink.text, align: "center", turned: true });
}

/** Return the labels of the axes; a logarithmic one says below what it is linear. */
export function axisNames(scene) {
  const kind = scene.frame.x.name === "symlog" ? `  (log, linear below ${short(scene.frame.x.threshold)})` : "";
  const what = scene.scale === "circle" && !scene.map ? "(1 − lr λ)" : "λ";
  if (scene.real) return { x: `λ${kind}`, y: "rank" };
  return { x: `Re ${what}${kind}`, y: `Im ${what}` };
}

function drawTrails(painter, geometry, { series, index, colour }, ink) {
  const { scene } = geometry;
  for (let k = index; k > Math.max(0, index - scene.trail); k--) {
    const match = series.trails.match(k);
    if (!match) continue;
    const [earlier, later] = [series.looks[k - 1], series.looks[k]];
    const ends = [];
    match.forEach((from, to) => {
      if (from >= 0) ends.push(...geometry.pixels(earlier, from), ...geometry.pixels(later, to));
    });
    painter.segments(ends, colour ?? ink.trail, { width: 1, alpha: 0.65 * (1 - (index - k) / (scene.trail + 1)) });
  }
}

/** Draw the eigenvalues of a layer by class, and return their pixels as x, y, x, y, ... */
function drawPoints(painter, geometry, { series, index, colour }, ink) {
  const look = series.looks[index];
  const classes = classesOf(look, geometry.scene.judgedBy).of;
  const places = new Float32Array(2 * look.count).fill(NaN);
  const groups = new Map();
  let [neutral, outside] = [0, 0];
  for (let i = 0; i < look.count; i++) {
    const kind = classes[i];
    if (kind === NOT_FINITE) continue;
    const [x, y] = geometry.pixels(look, i);
    if (!geometry.inside(x, y)) {
      outside += 1;
      continue;
    }
    places[2 * i] = x;
    places[2 * i + 1] = y;
    // The neutral lie on one spot, however many: one cross, with their number beside it.
    if (kind === NEUTRAL && !geometry.scene.real && neutral++) continue;
    const key = kind * 2 + (look.converged[i] ? 0 : 1);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(x, y);
  }
  const radius = look.count > 2000 ? 1.8 : look.count > 300 ? 2.6 : 3.8;
  for (const [key, group] of groups) {
    const kind = key >> 1;
    const style = { hollow: key % 2 === 1, alpha: 0.85 };
    painter.markers(SHAPES[kind], group, kind === NEUTRAL ? 4.5 : radius, colour ?? ink[NAMES[kind]], style);
  }
  if (neutral > 1) drawNeutralCount(painter, geometry, neutral, ink);
  return { places, outside };
}

function drawNeutralCount(painter, geometry, neutral, ink) {
  const [u, v] = geometry.scaled(geometry.scene.map ? 1 : 0, 0);
  painter.text(`×${neutral}`, geometry.toX(u) + 8, geometry.toY(v) - 9, { size: 11, colour: ink.text, bold: true });
}

function drawChain(painter, geometry, ink) {
  const { layer, i } = geometry.scene.chosen;
  const { series, index } = geometry.scene.layers[layer] ?? {};
  if (!series || i >= series.looks[index].count) return;
  const chain = [[index, i], ...series.trails.chain(index, i, Math.max(geometry.scene.trail, 1))];
  painter.line(chain.map(([k, j]) => geometry.pixels(series.looks[k], j)), ink.text, { width: 1.6 });
}

function drawChosen(painter, geometry, ink) {
  const { layer, i } = geometry.scene.chosen;
  const { series, index } = geometry.scene.layers[layer] ?? {};
  if (!series || i >= series.looks[index].count) return;
  painter.markers("circle", geometry.pixels(series.looks[index], i), 8, ink.text, { hollow: true });
}

/** Return one sentence on the eigenvalues of a look, for the caption and for screen readers. */
export function summary(look, lr) {
  const { counts } = classesOf(look, lr);
  const unconverged = look.converged.reduce((sum, good) => sum + (good ? 0 : 1), 0);
  const whole = look.complete === false ? ` of ${look.n}` : "";
  const which = whole && look.which ? ` (${SELECTIONS[look.which] ?? look.which})` : "";
  const parts = [`${look.count}${whole} eigenvalues${which}`];
  const say = [[ATTRACTS, "attract"], [REPELS, "repel"], [NEUTRAL, "neutral"], [UNDECIDED, "within their error of the edge"], [NOT_FINITE, "not finite, not shown"]];
  for (const [kind, word] of say) if (counts[kind] || kind === REPELS) parts.push(`${counts[kind]} ${word}`);
  if (look.operator === "map" && look.count) {
    const factors = Array.from({ length: look.count }, (_, i) => stepFactor(look, i, 0)).filter(Number.isFinite);
    if (factors.length) parts.push(`a step multiplies by up to ${short(factors.reduce((a, b) => Math.max(a, b)), 6)}`);
  }
  const beside = Object.entries(look.beside ?? {}).slice(0, MOST_BESIDE);
  for (const [name, value] of beside) parts.push(`${name.replaceAll("_", " ")} ${short(value, 3)}`);
  if (unconverged) parts.push(`${unconverged} not converged (hollow)`);
  return parts.join(", ");
}
