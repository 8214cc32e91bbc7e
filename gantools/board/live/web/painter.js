// One set of drawing calls with two ends: a canvas on the screen, and SVG text for a file.

const FONT = "system-ui, sans-serif";
const MANY = 3000; // markers of one kind

/** Corners of the markers, in units of their radius. */
const MARKERS = {
  diamond: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
  square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  triangle: [[0, -1.3], [1.2, 0.9], [-1.2, 0.9]],
};

/** Draws on a canvas, in CSS pixels. */
export class CanvasPainter {
  constructor(context, width, height, ratio = 1) {
    this.context = context;
    [this.width, this.height] = [width, height];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  rect(x, y, width, height, fill) {
    this.context.fillStyle = fill;
    this.context.fillRect(x, y, width, height);
  }

  clip(x, y, width, height) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x, y, width, height);
    this.context.clip();
  }

  unclip() {
    this.context.restore();
  }

  line(points, colour, { width = 1, alpha = 1, dash = [] } = {}) {
    this.stroke(colour, width, alpha, dash, (c) => points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y))));
  }

  /** Separate lines, as x0, y0, x1, y1 one behind the other. */
  segments(ends, colour, { width = 1, alpha = 1 } = {}) {
    this.stroke(colour, width, alpha, [], (c) => {
      for (let i = 0; i < ends.length; i += 4) {
        c.moveTo(ends[i], ends[i + 1]);
        c.lineTo(ends[i + 2], ends[i + 3]);
      }
    });
  }

  stroke(colour, width, alpha, dash, trace) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    trace(c);
    c.stroke();
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  /** A filled area; several outlines leave out what lies in two of them. */
  area(outlines, fill, alpha = 1) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.fillStyle = fill;
    c.beginPath();
    for (const points of outlines) {
      points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
      c.closePath();
    }
    c.fill("evenodd");
    c.globalAlpha = 1;
  }

  /** Markers of one shape at x, y, x, y, ...; hollow ones are outlines. */
  markers(shape, places, radius, colour, { hollow = false, alpha = 1 } = {}) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.strokeStyle = c.fillStyle = colour;
    c.lineWidth = shape === "cross" ? 1.6 : 1.2;
    if (places.length > 2 * MANY) return this.dots(places, radius);
    c.beginPath();
    for (let i = 0; i < places.length; i += 2) markerPath(c, shape, places[i], places[i + 1], radius);
    if (hollow || shape === "cross") c.stroke();
    else c.fill("nonzero");
    c.globalAlpha = 1;
  }

  /** Draw what follows as on a surface of its own, at a place of this one. */
  group(x, y, width, height, draw) {
    const whole = [this.width, this.height];
    this.context.save();
    this.context.translate(x, y);
    [this.width, this.height] = [width, height];
    draw(this);
    [this.width, this.height] = whole;
    this.context.restore();
  }

  /** So many markers that one cannot tell their shapes: a path of them takes seconds, squares some milliseconds. */
  dots(places, radius) {
    const side = Math.max(1, radius);
    for (let i = 0; i < places.length; i += 2) this.context.fillRect(places[i] - side / 2, places[i + 1] - side / 2, side, side);
    this.context.globalAlpha = 1;
  }

  text(string, x, y, { size = 12, colour, align = "left", baseline = "middle", turned = false, bold = false } = {}) {
    const c = this.context;
    c.save();
    c.translate(x, y);
    if (turned) c.rotate(-Math.PI / 2);
    c.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
    c.fillStyle = colour;
    c.textAlign = align;
    c.textBaseline = baseline;
    c.fillText(string, 0, 0);
    c.restore();
  }
}

function markerPath(c, shape, x, y, radius) {
  if (shape === "circle") {
    c.moveTo(x + radius, y);
    c.arc(x, y, radius, 0, 2 * Math.PI);
  } else if (shape === "cross") {
    c.moveTo(x - radius, y - radius);
    c.lineTo(x + radius, y + radius);
    c.moveTo(x - radius, y + radius);
    c.lineTo(x + radius, y - radius);
  } else {
    MARKERS[shape].forEach(([a, b], i) => (i ? c.lineTo(x + a * radius, y + b * radius) : c.moveTo(x + a * radius, y + b * radius)));
    c.closePath();
  }
}

const number = (x) => String(Math.round(x * 100) / 100);
const pathText = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${number(x)} ${number(y)}`).join("");
const escapeText = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** Records the same calls as SVG elements. */
export class SvgPainter {
  constructor(width, height) {
    [this.width, this.height] = [width, height];
    this.parts = [];
    this.clips = 0;
  }

  rect(x, y, width, height, fill) {
    this.parts.push(`<rect x="${number(x)}" y="${number(y)}" width="${number(width)}" height="${number(height)}" fill="${fill}"/>`);
  }

  clip(x, y, width, height) {
    const name = `clip${this.clips++}`;
    this.parts.push(`<clipPath id="${name}"><rect x="${x}" y="${y}" width="${width}" height="${height}"/></clipPath><g clip-path="url(#${name})">`);
  }

  unclip() {
    this.parts.push("</g>");
  }

  line(points, colour, { width = 1, alpha = 1, dash = [] } = {}) {
    this.path(pathText(points), `fill="none" stroke="${colour}" stroke-width="${width}" opacity="${number(alpha)}" stroke-dasharray="${dash.join(" ")}"`);
  }

  segments(ends, colour, { width = 1, alpha = 1 } = {}) {
    let text = "";
    for (let i = 0; i < ends.length; i += 4) text += pathText([[ends[i], ends[i + 1]], [ends[i + 2], ends[i + 3]]]);
    if (text) this.path(text, `fill="none" stroke="${colour}" stroke-width="${width}" opacity="${number(alpha)}"`);
  }

  area(outlines, fill, alpha = 1) {
    this.path(outlines.map((points) => `${pathText(points)}Z`).join(""), `fill="${fill}" fill-rule="evenodd" opacity="${alpha}"`);
  }

  markers(shape, places, radius, colour, { hollow = false, alpha = 1 } = {}) {
    const outline = hollow || shape === "cross";
    const trace = { text: "", moveTo: (x, y) => (trace.text += `M${number(x)} ${number(y)}`), lineTo: (x, y) => (trace.text += `L${number(x)} ${number(y)}`), closePath: () => (trace.text += "Z") };
    trace.arc = (x, y, r) => (trace.text += `a${number(r)} ${number(r)} 0 1 0 ${number(-2 * r)} 0a${number(r)} ${number(r)} 0 1 0 ${number(2 * r)} 0`);
    for (let i = 0; i < places.length; i += 2) markerPath(trace, shape, places[i], places[i + 1], radius);
    this.path(trace.text, `fill="${outline ? "none" : colour}" stroke="${outline ? colour : "none"}" stroke-width="${shape === "cross" ? 1.6 : 1.2}" opacity="${number(alpha)}"`);
  }

  text(string, x, y, { size = 12, colour, align = "left", baseline = "middle", turned = false, bold = false } = {}) {
    const anchor = { left: "start", center: "middle", right: "end" }[align];
    const line = { middle: "central", top: "hanging", bottom: "auto", alphabetic: "auto" }[baseline];
    const turn = turned ? ` transform="rotate(-90 ${number(x)} ${number(y)})"` : "";
    this.parts.push(`<text x="${number(x)}" y="${number(y)}" font-family="${FONT}" font-size="${size}" font-weight="${bold ? 600 : 400}" fill="${colour}" text-anchor="${anchor}" dominant-baseline="${line}"${turn}>${escapeText(string)}</text>`);
  }

  path(d, attributes) {
    this.parts.push(`<path d="${d}" ${attributes}/>`);
  }

  group(x, y, width, height, draw) {
    const whole = [this.width, this.height];
    this.parts.push(`<g transform="translate(${number(x)} ${number(y)})">`);
    [this.width, this.height] = [width, height];
    draw(this);
    [this.width, this.height] = whole;
    this.parts.push("</g>");
  }

  toString() {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}">\n${this.parts.join("\n")}\n</svg>\n`;
  }
}
