// Scales of the axes: linear, and symmetric-logarithmic with one threshold for both axes; their ticks and frames.

/** A linear scale. */
export const LINEAR = { name: "linear", forward: (x) => x, inverse: (t) => t };

/** A symmetric-logarithmic scale: sign(x) log10(1 + |x| / threshold), which is linear well below the threshold. */
export function symlog(threshold) {
  return {
    name: "symlog",
    threshold,
    forward: (x) => Math.sign(x) * Math.log10(1 + Math.abs(x) / threshold),
    inverse: (t) => Math.sign(t) * threshold * (10 ** Math.abs(t) - 1),
  };
}

/** Return the threshold for sizes between two ends: a power of ten, at most five decades below the largest. */
export function thresholdFor(small, large) {
  if (!(large > 0)) return 1;
  return 10 ** Math.floor(Math.log10(Math.max(Math.min(small, large), large * 1e-5)));
}

const UNIT_FRAME = 1.25;
const UNIT_FRAME_MOST = 2.5;

/**
 * Return the scales and the window, in scaled coordinates, that show the eigenvalues of all steps of several series.
 *
 * The window depends on nothing that changes with the step, so that the axes stand still while the eigenvalues move.
 */
export function frameFor(bounds, { scale, lr, map, real }) {
  const all = bounds.reduce(unite, { re: [0, 0], im: [0, 0], large: 0, small: Infinity, rank: 1 });
  if (scale === "circle") {
    const reach = map ? all.large : Math.max(1, Math.abs(1 - lr * all.re[0]), Math.abs(1 - lr * all.re[1]), lr * all.im[1]);
    const half = Math.min(Math.max(UNIT_FRAME, reach * 1.1), UNIT_FRAME_MOST);
    return { x: LINEAR, y: LINEAR, window: { x0: -half, x1: half, y0: -half, y1: half }, square: true };
  }
  const axis = scale === "symlog" ? symlog(thresholdFor(all.small, all.large)) : LINEAR;
  const [x0, x1] = widen(all.re.map(axis.forward));
  const [y0, y1] = real ? [0, all.rank + 1] : widen(all.im.map(axis.forward));
  return { x: axis, y: real ? LINEAR : axis, window: { x0, x1, y0, y1 }, square: map && scale === "linear" };
}

function unite(a, b) {
  return {
    re: [Math.min(a.re[0], b.re[0]), Math.max(a.re[1], b.re[1])],
    im: [Math.min(a.im[0], b.im[0]), Math.max(a.im[1], b.im[1])],
    large: Math.max(a.large, b.large),
    small: Math.min(a.small, b.small),
    rank: Math.max(a.rank, b.rank),
  };
}

/** Return an interval with a margin on both sides; a point becomes an interval around it. */
export function widen([low, high], part = 0.07) {
  const margin = (high - low) * part || Math.abs(high) || 1;
  return [low - margin, high + margin];
}

/**
 * Return the ticks of an axis between two scaled coordinates, at least `gap` pixels apart, as {at, label}.
 *
 * @param least the smallest difference that means something: 1 between steps
 */
export function ticks(scale, low, high, pixels, gap, least = 0) {
  const most = Math.max(2, Math.floor(pixels / gap));
  if (scale.name === "symlog") {
    const decades = symlogTicks(scale, low, high, pixels, gap);
    if (decades.length >= 3 || (decades.length === 2 && most < 3)) return decades;
    // Too few: twos and fives between them, then what a linear axis has, as far as there is room.
    const [a, b] = [scale.inverse(low), scale.inverse(high)];
    const between = linearTicks(a, b, most).map((x) => ({ at: scale.forward(x), label: tickText(x) }));
    return spaced([...decades, ...halves(scale, low, high), ...between], gap * ((high - low) / pixels));
  }
  return linearTicks(low, high, most, least).map((x) => ({ at: x, label: tickText(x) }));
}

/** Return the ticks that are at least `gap` from all before them. */
function spaced(candidates, gap) {
  const kept = [];
  for (const tick of candidates) if (kept.every(({ at }) => Math.abs(at - tick.at) >= gap)) kept.push(tick);
  return kept;
}

/** Twos and fives of both signs between the powers of ten of a symmetric-logarithmic axis. */
function halves(scale, low, high) {
  const top = Math.ceil(Math.log10(Math.max(Math.abs(scale.inverse(low)), Math.abs(scale.inverse(high)), 1e-300)));
  const found = [];
  for (let power = top; power >= Math.round(Math.log10(scale.threshold)); power--) {
    for (const x of [2, -2, 5, -5].map((m) => m * 10 ** power)) {
      const at = scale.forward(x);
      if (at >= low && at <= high) found.push({ at, label: tickText(x) });
    }
  }
  return found;
}

function linearTicks(low, high, most, least = 0) {
  const rough = Math.max((high - low) / most, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? 10 * power;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high && found.length < 100; i++) found.push(i * step);
  return found.map((x) => (Math.abs(x) < step * 1e-6 ? 0 : x));
}

/** Zero, and powers of ten of both signs from the largest down, as many as there is room for. */
function symlogTicks(scale, low, high, pixels, gap) {
  const toPixels = pixels / (high - low);
  const top = Math.ceil(Math.log10(Math.max(Math.abs(scale.inverse(low)), Math.abs(scale.inverse(high)), 1e-300)));
  const bottom = Math.round(Math.log10(scale.threshold));
  const stride = Math.max(1, Math.ceil(gap / toPixels));
  const found = low <= 0 && high >= 0 ? [{ at: 0, label: "0" }] : [];
  for (let power = top; power >= bottom; power--) {
    if ((power - bottom) % stride !== 0) continue;
    for (const sign of [1, -1]) {
      const at = scale.forward(sign * 10 ** power);
      if (at < low || at > high) continue;
      found.push({ at, label: powerText(sign, power) });
    }
  }
  return spaced(found, gap / toPixels);
}

function powerText(sign, power) {
  const digits = [..."⁰¹²³⁴⁵⁶⁷⁸⁹"];
  const minus = sign < 0 ? "−" : "";
  if (power >= -2 && power <= 3) return minus + String(Number(`1e${power}`));
  const raised = [...String(Math.abs(power))].map((digit) => digits[digit]).join("");
  return `${minus}10${power < 0 ? "⁻" : ""}${raised}`;
}

export function tickText(x) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e-3 && size < 1e5 ? String(Number(x.toPrecision(6))) : String(Number(x.toPrecision(3)).toExponential());
  return text.replace("e+", "e").replaceAll("-", "−");
}

/** Return the points of the boundary |1 - lr λ| = 1, dense near 0, where a logarithmic scale looks closely. */
export function discBoundary(lr) {
  const angles = Array.from({ length: 121 }, (_, i) => [10 ** (i / 20 - 7), 0.1 + ((Math.PI - 0.1) * i) / 120]);
  const upper = [0, 1].flatMap((half) => angles.map((pair) => pair[half])).map((angle) => {
    // 1 - cos(a) by 2 sin²(a/2), which does not lose the small ones.
    return [(2 * Math.sin(angle / 2) ** 2) / lr, Math.sin(angle) / lr];
  });
  return [[0, 0], ...upper, ...upper.toReversed().map(([re, im]) => [re, -im])];
}
