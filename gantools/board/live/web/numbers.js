// Numbers of a log: the binary stream that gantools.board.live.looks writes, what eigenvalues mean, text for numbers.

const FRAME_BYTES = 24; // before each look: step, wall time and length, three float64
const ARRAYS = { "<f4": Float32Array, "<f8": Float64Array, "|u1": Uint8Array };
const TEXT = new TextDecoder();

const padTo8 = (bytes) => Math.ceil(bytes / 8) * 8;

/** Return the looks of a stream, ordered by step, and how many could not be read; of one step written twice, the newer. */
export function decodeStream(buffer) {
  const view = new DataView(buffer);
  const bySteps = new Map();
  let unreadable = 0;
  for (let at = 0; at + FRAME_BYTES <= buffer.byteLength; ) {
    const [step, time, length] = [0, 8, 16].map((offset) => view.getFloat64(at + offset, true));
    at += FRAME_BYTES;
    try {
      const earlier = bySteps.get(step);
      if (!earlier || earlier.time <= time) bySteps.set(step, { step, time, ...decodeLook(buffer, at, length) });
    } catch {
      unreadable += 1;
    }
    at += padTo8(length);
  }
  const looks = [...bySteps.values()].sort((a, b) => a.step - b.step);
  return { looks, unreadable };
}

function decodeLook(buffer, at, length) {
  const headerLength = new DataView(buffer).getUint32(at, true);
  if (headerLength + 4 > length) throw new RangeError("the header is longer than the look");
  const { arrays, ...facts } = JSON.parse(TEXT.decode(new Uint8Array(buffer, at + 4, headerLength)));
  const look = { ...facts, arrays: {}, shares: {} };
  let offset = at + 4 + headerLength;
  for (const [name, type, count] of arrays) {
    const array = new ARRAYS[type](buffer, offset, count);
    if (offset + array.byteLength > at + length) throw new RangeError("an array is longer than the look");
    if (name.startsWith("share ")) look.shares[name.slice(6)] = array;
    else look.arrays[name] = array;
    offset += padTo8(array.byteLength);
  }
  return look.kind === "spectrum" ? spectrumOf(look) : look;
}

/** Complete a spectrum: imaginary parts, ranks of real eigenvalues, and what counts as neutral. */
function spectrumOf(look) {
  const { real, imag, residual, error, converged } = look.arrays;
  const whole = { ...look, real, imag: imag ?? null, residual, error, converged, count: real.length };
  let largest = 1e-30;
  for (let i = 0; i < real.length; i++) {
    const size = imag ? Math.hypot(real[i], imag[i]) : Math.abs(real[i]);
    if (size > largest && Number.isFinite(size)) largest = size;
  }
  whole.neutral = 1e-7 * largest; // as in the static figures
  if (!imag) {
    const order = [...real.keys()].sort((a, b) => real[a] - real[b]);
    whole.rank = new Float32Array(real.length);
    order.forEach((i, place) => (whole.rank[i] = place + 1));
  }
  return whole;
}

export const CLASSES = ["attracts", "repels", "neutral", "undecided", "not finite"];
export const [ATTRACTS, REPELS, NEUTRAL, UNDECIDED, NOT_FINITE] = CLASSES.keys();

/**
 * Return the factor by which a step multiplies along an eigenvalue: |1 - lr λ| of a field, |λ| of a map.
 */
export function stepFactor(look, i, lr) {
  const re = look.real[i];
  const im = look.imag ? look.imag[i] : 0;
  return look.operator === "map" ? Math.hypot(re, im) : Math.hypot(1 - lr * re, lr * im);
}

/** Return which of CLASSES an eigenvalue is in; lr = 0 judges a field by its half-plane, the limit of small steps. */
export function classOf(look, i, lr) {
  const re = look.real[i];
  const im = look.imag ? look.imag[i] : 0;
  if (!Number.isFinite(re) || !Number.isFinite(im)) return NOT_FINITE;
  const map = look.operator === "map";
  if (Math.hypot(re - (map ? 1 : 0), im) <= look.neutral) return NEUTRAL;
  const square = re * re + im * im;
  // Distance to the edge of the stable region, exact where the eigenvalue is small: 1 - |1 - z|² = 2 Re z - |z|².
  let margin = re;
  if (map) margin = (1 - square) / 2;
  else if (lr > 0) margin = re - (lr * square) / 2;
  const doubt = look.error ? look.error[i] * (map ? Math.sqrt(square) : lr > 0 ? Math.hypot(1 - lr * re, lr * im) : 1) : 0;
  if (Math.abs(margin) <= doubt) return UNDECIDED;
  return margin > 0 ? ATTRACTS : REPELS;
}

/** Return the class of every eigenvalue of a look, and how many are in each; kept for the last lr. */
export function classesOf(look, lr) {
  if (look.classes?.lr !== lr) {
    const counts = CLASSES.map(() => 0);
    const of = new Uint8Array(look.count);
    for (let i = 0; i < look.count; i++) counts[(of[i] = classOf(look, i, lr))] += 1;
    look.classes = { lr, of, counts };
  }
  return look.classes;
}

/** Return the smallest and largest coordinates of the eigenvalues of all steps, and the sizes that they span. */
export function boundsOf(looks) {
  const bounds = { re: [0, 0], im: [0, 0], large: 0, small: Infinity, rank: 1 };
  const sizes = [];
  const stride = Math.max(1, Math.floor(looks.reduce((sum, look) => sum + look.count, 0) / 20000));
  for (const look of looks) {
    for (let i = 0; i < look.count; i++) {
      const re = look.real[i];
      const im = look.imag ? look.imag[i] : 0;
      if (!Number.isFinite(re) || !Number.isFinite(im)) continue;
      bounds.re = [Math.min(bounds.re[0], re), Math.max(bounds.re[1], re)];
      bounds.im = [Math.min(bounds.im[0], im), Math.max(bounds.im[1], im)];
      const size = Math.hypot(re, im);
      bounds.large = Math.max(bounds.large, size);
      if (size > look.neutral && i % stride === 0) sizes.push(size);
    }
    bounds.rank = Math.max(bounds.rank, look.count);
  }
  // The smallest twentieth of those that are not neutral may fall into the linear part around zero.
  sizes.sort((a, b) => a - b);
  if (sizes.length) bounds.small = sizes[Math.floor(sizes.length / 20)];
  return bounds;
}

/** Return which of these belongs to a step: the last one up to it, or the first of all. */
export function lookAt(looks, step, stepOf = (look) => look.step) {
  let low = 0;
  let high = looks.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (stepOf(looks[middle]) <= step) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** What a search for some of the eigenvalues looks for, by the names that `gantools.analysis.eigenvalues` has for it. */
export const SELECTIONS = {
  LM: "largest |λ|",
  SM: "smallest |λ|",
  LR: "largest Re λ",
  SR: "smallest Re λ",
  LI: "largest |Im λ|",
  LA: "largest λ",
  SA: "smallest λ",
  BE: "both ends",
  NI: "nearest to the imaginary axis",
  NU: "nearest to the unit circle",
};

/** Return a tag with what its last part stands for, where that is an abbreviation. */
export function tagText(tag) {
  const selection = SELECTIONS[tag.slice(tag.lastIndexOf("/") + 1)];
  return selection ? `${tag}: ${selection}` : tag;
}

/** Return a number in few characters; NaN and infinity by name. */
export function short(x, digits = 4) {
  if (x === null || x === undefined || Number.isNaN(x)) return "not a number";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e-3 && size < 1e5 ? String(Number(x.toPrecision(digits))) : x.toExponential(Math.max(0, digits - 2));
  return text.replace(/\.?0*e\+?/, "e").replaceAll("-", "−");
}

/** Return an eigenvalue as a + b i. */
export function complexText(re, im) {
  if (im === null) return short(re);
  return `${short(re)} ${im < 0 ? "−" : "+"} ${short(Math.abs(im))} i`;
}
