// A panel: a canvas with its title and sentence, samples beside it, the tooltip, and the table of its numbers.

import { element } from "./controls.js";
import { detailsOf, listen } from "./interaction.js";
import { CanvasPainter } from "./painter.js";

const MOST_ROWS = 200;

/** One figure of the page. */
export class Panel {
  constructor(view, number) {
    this.view = view;
    this.number = number;
    this.canvas = element("canvas", { tabindex: 0, role: "img" });
    this.title = element("b");
    this.sentence = element("span");
    this.sample = element("div", { class: "sample" });
    this.drawing = element("div", { class: "drawing" }, this.canvas);
    this.figure = element("figure", {}, element("figcaption", {}, this.title, " ", this.sentence), element("div", { class: "body" }, this.drawing, this.sample));
    listen(this.canvas, this);
  }

  /** Bring the panel up to date with what it shows: {title, colour, sentence, draw, pictures, aspect}. */
  show(spec, ink) {
    this.spec = spec;
    this.title.textContent = spec.title;
    this.title.style.color = spec.colour ?? "";
    this.sentence.textContent = spec.sentence;
    this.canvas.setAttribute("aria-label", `${spec.title}. ${spec.sentence}`);
    this.showPictures(spec.pictures ?? []);
    const width = this.drawing.clientWidth;
    if (!width) return;
    const most = this.view.options.compact ? 340 : (spec.pictures ?? []).length > 1 ? 540 : 460;
    const height = Math.round(Math.min(most, Math.max(120, width * (spec.aspect ?? 0.78))));
    const ratio = globalThis.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    const painter = new CanvasPainter(this.canvas.getContext("2d"), width, height, ratio);
    painter.rect(0, 0, width, height, ink.background);
    this.result = spec.draw(painter);
  }

  showPictures(pictures) {
    const present = JSON.stringify(pictures);
    this.sample.hidden = !pictures.length;
    if (this.sample.dataset.present === present) return;
    this.sample.dataset.present = present;
    // A new address in the old element keeps the old picture on the screen until the new one is there.
    if (this.sample.children.length !== pictures.length) {
      // Pictures of few pixels are enlarged with their pixels, larger ones made smaller smoothly.
      const load = ({ target }) => target.classList.toggle("enlarged", target.naturalWidth < target.clientWidth);
      this.sample.replaceChildren(...pictures.map(() => element("div", {}, element("img", { onload: load }), element("span"))));
    }
    pictures.forEach(({ url, text }, k) => {
      const [image, label] = this.sample.children[k].children;
      if (image.getAttribute("src") !== url) image.src = url;
      image.alt = label.textContent = text;
    });
  }

  drawn() {
    return this.result?.geometry ? this.result : { geometry: { window: this.view.fallback, width: 1, height: 1, fromPixels: () => [0, 0] }, places: [] };
  }

  setWindow(window) {
    if (this.result?.geometry) this.view.set({ window });
  }

  choose(chosen, event) {
    this.view.choose(chosen && { ...chosen, panel: this.number }, event);
  }

  /** Move the choice to the next eigenvalue that is in the window, for those without a pointer. */
  chooseNext(places, by) {
    const all = places.flatMap(({ places: points }, layer) => Array.from({ length: points.length / 2 }, (_, i) => ({ layer, i, x: points[2 * i], y: points[2 * i + 1] })));
    const visible = all.filter(({ x }) => Number.isFinite(x));
    if (!visible.length) return;
    const present = this.view.chosen;
    const at = visible.findIndex(({ layer, i }) => present && layer === present.layer && i === present.i);
    const next = visible[(at + by + visible.length) % visible.length];
    const box = this.canvas.getBoundingClientRect();
    this.choose({ layer: next.layer, i: next.i }, { clientX: box.left + next.x, clientY: box.top + next.y, spoken: true });
  }
}

/** The text beside the pointer. */
export class Tooltip {
  constructor() {
    this.box = element("div", { class: "tooltip", hidden: true });
  }

  show(rows, head, event) {
    this.box.hidden = !rows;
    if (!rows) return;
    const terms = rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
    this.box.replaceChildren(element("b", {}, head), element("dl", {}, ...terms));
    const [width, height] = [this.box.offsetWidth, this.box.offsetHeight];
    const left = event.clientX + 14 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 14;
    const top = event.clientY + 14 + height > innerHeight ? event.clientY - height - 14 : event.clientY + 14;
    this.box.style.left = `${Math.max(4, left)}px`;
    this.box.style.top = `${Math.max(4, top)}px`;
  }
}

/** Return rows of eigenvalues as a table; all of them are in the CSV file. */
export function tableOf(shown, lr) {
  const rows = [];
  for (const { series, look } of shown) {
    for (let i = 0; i < look.count && rows.length < MOST_ROWS; i++) rows.push([["run", series.run], ...detailsOf(series, look, i, lr)]);
  }
  if (!rows.length) return element("p", {}, "No eigenvalues at this step.");
  const names = rows.reduce((best, row) => (row.length > best.length ? row : best), []).map(([name]) => name || "class");
  const body = rows.map((row) => {
    const values = new Map(row.map(([name, value]) => [name || "class", value]));
    return element("tr", {}, ...names.map((name) => element("td", {}, values.get(name) ?? "")));
  });
  const total = shown.reduce((sum, { look }) => sum + look.count, 0);
  const note = total > rows.length ? [element("p", {}, `The first ${rows.length} of ${total}; CSV has all.`)] : [];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
  return element("div", {}, ...note, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}
