// Charts over steps below the panels: a number of the spectra, and scalars that the runs logged; a click moves to a step.

import { MEASURES, drawLines, markStep, measureName, measured, pointAt } from "./charts.js";
import { element, selection } from "./controls.js";
import { short } from "./numbers.js";
import { CanvasPainter } from "./painter.js";

const HEIGHT = 130; // pixels of one chart

/** A selection of several: a button that opens a list of boxes to tick. */
class Menu {
  constructor(choose) {
    this.choose = choose;
    this.title = element("summary");
    this.list = element("div", { role: "group", "aria-label": "scalars shown" });
    this.box = element("details", { class: "menu", onkeydown: (event) => event.key === "Escape" && this.close() }, this.title, this.list);
    document.addEventListener("pointerdown", ({ target }) => this.box.contains(target) || this.close());
  }

  close() {
    if (this.box.contains(document.activeElement)) this.title.focus();
    this.box.open = false;
  }

  show(shown, all) {
    this.box.hidden = !all.length;
    const present = JSON.stringify([shown, all]);
    if (this.box.dataset.present === present) return;
    this.box.dataset.present = present;
    this.title.textContent = `scalars: ${shown.length} of ${all.length}`;
    if (this.list.children.length !== all.length) this.list.replaceChildren(...all.map(() => element("label", {}, element("input", { type: "checkbox", onchange: () => this.change() }), element("span"))));
    all.forEach((tag, k) => {
      const [box, text] = this.list.children[k].children;
      [box.value, box.checked, text.textContent] = [tag, shown.includes(tag), tag];
    });
  }

  change() {
    this.choose([...this.list.querySelectorAll("input")].filter(({ checked }) => checked).map(({ value }) => value));
  }
}

/** One chart: its name and the numbers of the present step, and the lines of the runs. */
class Small {
  constructor(view) {
    this.view = view;
    this.name = element("b");
    this.values = element("span");
    this.canvas = element("canvas", { role: "img" });
    this.ground = element("canvas"); // the lines without the mark of the step
    this.figure = element("div", { class: "small" }, element("div", { class: "head" }, this.name, " ", this.values), this.canvas);
    const seek = (event) => this.chart && view.set({ step: Math.max(0, this.chart.step(event.clientX - this.canvas.getBoundingClientRect().left)) });
    this.canvas.addEventListener("pointerdown", seek);
    this.canvas.addEventListener("pointermove", (event) => event.buttons && seek(event));
  }

  /** Draw {name, lines, colours, runs, step, span}. */
  show(spec, ink) {
    const values = spec.lines.map((line) => short(pointAt(line, spec.step)[1], 3));
    this.name.textContent = spec.name;
    const present = JSON.stringify([values, spec.runs, spec.colours]);
    if (this.values.dataset.present !== present) {
      this.values.dataset.present = present;
      this.values.replaceChildren(...values.map((value, k) => element("span", { class: "value", title: spec.runs[k] }, spec.runs.length > 1 ? element("i", { class: "swatch", style: `background: ${spec.colours[k]}` }) : "", value)));
    }
    const told = values.map((value, k) => `${spec.runs[k]} ${value}`).join("; ");
    this.canvas.setAttribute("aria-label", `${spec.name} over steps; at step ${spec.step}: ${told}. A click moves to a step.`);
    const [width, ratio] = [this.canvas.clientWidth, globalThis.devicePixelRatio || 1];
    if (!width) return;
    const drawn = [width, ratio, ink.background, ink.text, ...spec.span, ...spec.colours, ...spec.lines];
    if (this.drawn?.length !== drawn.length || drawn.some((part, k) => part !== this.drawn[k])) {
      this.drawn = drawn;
      for (const canvas of [this.ground, this.canvas]) [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(HEIGHT * ratio)];
      this.chart = drawLines(new CanvasPainter(this.ground.getContext("2d"), width, HEIGHT, ratio), spec, ink);
    }
    // While the slider moves the lines stay: thousands of points are drawn once.
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.ground, 0, 0);
    markStep(new CanvasPainter(context, width, HEIGHT, ratio), this.chart, spec, ink);
  }
}

/** All that is below the panels and goes over steps. */
export class OverSteps {
  constructor(view) {
    this.view = view;
    this.measure = selection("over steps", (measure) => view.set({ measure }));
    this.menu = new Menu((scalars) => view.set({ scalars }));
    this.bar = element("div", { class: "bar" }, this.measure.row, this.menu.box);
    this.charts = element("div", { class: "charts" });
    this.box = element("div", { class: "over" }, this.bar, this.charts);
    this.made = [];
  }

  /** What is drawn: a number of the spectra first, where planes are shown, then scalars. */
  specs() {
    const { view } = this;
    const scene = view.scene();
    const series = view.shown();
    const steps = view.steps();
    const found = [];
    if (scene && steps.length > 1) {
      const { measure } = view.state;
      const answers = view.answering();
      const used = series.map((one) => view.data.answer(answers.get(one.run)) ?? one);
      const other = [...new Set(used.filter((one) => !series.includes(one)).map(({ tag }) => tag))];
      const name = measureName(measure, used.flatMap(({ looks }) => looks)) + (other.length ? ` (${other.join(", ")})` : "");
      found.push({ name, series, lines: used.map((one) => measured(one, measure, scene.judgedBy || scene.lr)) });
    }
    for (const name of view.scalarTags()) {
      const having = series.filter(({ run }) => view.data.scalars.points(run, name).length);
      if (having.length) found.push({ name, series: having, lines: having.map(({ run }) => view.data.scalars.points(run, name)) });
    }
    // The same steps for all: what stands one below the other happened at the same time.
    const ends = found.flatMap(({ lines }) => lines.flatMap((line) => [line[0][0], line.at(-1)[0]]));
    const span = [Math.min(...ends, ...steps.slice(0, 1)), Math.max(...ends, ...steps.slice(-1))];
    const runs = (own) => own.map(({ run, tag }) => (run && run !== "." ? run : tag));
    return found.map((spec) => ({ ...spec, runs: runs(spec.series), colours: spec.series.map(({ run }) => view.ink.runs[view.colourOf(run)]), step: view.step(), span }));
  }

  show() {
    const { view } = this;
    const moving = view.scene() && view.steps().length > 1;
    this.measure.show(view.state.measure, moving ? Object.entries(MEASURES).map(([name, { label }]) => [name, label]) : []);
    this.menu.show(view.scalarTags(), view.data.scalars.tags(view.shownRuns()));
    const specs = view.shown().length ? this.specs() : [];
    this.box.hidden = !specs.length && this.menu.box.hidden;
    while (this.made.length < specs.length) this.made.push(new Small(view));
    if (this.charts.children.length !== specs.length) this.charts.replaceChildren(...specs.map((_, k) => this.made[k].figure));
    specs.forEach((spec, k) => this.made[k].show(spec, view.ink));
  }
}
