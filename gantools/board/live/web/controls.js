// Controls: buttons, selections and sliders, bound to the state of a view.

import { short, tagText } from "./numbers.js";

/** Make an element; attributes that begin with "on" are listeners, text children are never read as HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A row of buttons of which one is pressed; returns the row and what shows the present choice. */
function choice(label, options, choose, visible = true) {
  const buttons = Object.entries(options).map(([value, text]) => element("button", { type: "button", "data-value": value, onclick: () => choose(value) }, text));
  const row = element("span", { class: "group", role: "group", "aria-label": label }, ...(visible ? [`${label} `] : []), ...buttons);
  const show = (value, usable = () => true) => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.value === value));
      button.disabled = !usable(button.dataset.value);
    }
  };
  return { row, show };
}

export function selection(label, choose, least = 2, name = label) {
  const select = element("select", { "aria-label": name, onchange: () => choose(select.value) });
  const row = element("label", {}, label, select);
  const show = (value, options) => {
    const present = JSON.stringify(options);
    if (select.dataset.options !== present) {
      select.replaceChildren(...options.map(([key, text]) => element("option", { value: key }, text)));
      select.dataset.options = present;
    }
    select.value = value;
    row.hidden = options.length < least;
  };
  return { row, show };
}

function slider(label, attributes, change) {
  const input = element("input", { type: "range", "aria-label": label, ...attributes, oninput: () => change(Number(input.value)) });
  const output = element("output");
  return { row: element("label", {}, label, input, output), input, output };
}

/** All controls of a view: `top` and `steps` are elements, `show()` brings them up to date. */
export class Controls {
  constructor(view) {
    this.view = view;
    const set = (name) => (value) => view.set({ [name]: value });
    this.views = choice("View", { plane: "Eigenvalues", density: "Density", index: "Index", path: "Path" }, (value) => view.set({ view: value, tag: "" }), false);
    this.tag = selection("", set("tag"), 1, "tag");
    this.tag.row.classList.add("tag");
    this.layout = choice("Runs", { side: "side by side", over: "overlaid" }, set("layout"), false);
    this.scale = choice("Axes", { symlog: "log", linear: "linear", circle: "unit circle" }, (value) => view.set({ scale: value, window: null }));
    this.region = choice("Stable region", { half: "half-plane", disc: "disc of lr", none: "none" }, set("region"));
    this.lr = slider("lr", { step: 0.01, min: -6, max: 0 }, (value) => view.set({ lr: 10 ** value, ...(view.state.scale === "circle" ? {} : { region: "disc" }) }));
    this.trail = slider("trails", { min: 0, max: 50, step: 1 }, set("trail"));
    this.lr.row.title = "step size of the stable disc |1 − lr λ| < 1, which moving it shows";
    this.trail.row.title = "how many steps back the eigenvalues are followed by lines";
    this.picture = selection("beside", set("picture"));
    this.theme = selection("theme", set("theme"));
    this.runs = element("span", { class: "group runs", role: "group", "aria-label": "runs shown" });
    this.top = element("div", {}, this.firstRow(), this.planeRow());
    this.steps = this.stepRow();
  }

  firstRow() {
    const files = ["SVG", "PNG", "CSV"].map((kind) => element("button", { type: "button", title: `save what is shown as ${kind}`, onclick: () => this.view.save(kind) }, kind));
    const link = element("button", { type: "button", title: "copy a link to this view", onclick: () => this.view.copyLink() }, "Link");
    const again = element("button", { type: "button", title: "read the logs again", "aria-label": "read the logs again", onclick: () => this.view.refresh() }, "↻");
    again.hidden = !this.view.source.live;
    link.hidden = Boolean(this.view.options.compact);
    this.link = element("output", { class: "link" });
    this.files = element("span", { class: "group", role: "group", "aria-label": "save" }, ...files);
    return element("div", { class: "bar" }, this.views.row, this.tag.row, this.layout.row, this.runs, this.files, link, again, this.theme.row, this.link);
  }

  planeRow() {
    this.plane = element("div", { class: "bar" }, this.scale.row, this.region.row, this.lr.row, this.trail.row, this.picture.row);
    return this.plane;
  }

  stepRow() {
    const { view } = this;
    const button = (text, name, action) => element("button", { type: "button", "aria-label": name, title: name, onclick: action }, text);
    this.play = button("▶", "play (space)", () => view.play());
    this.slider = element("input", { type: "range", min: 0, step: 1, "aria-label": "step", oninput: () => view.seek(Number(this.slider.value)) });
    this.where = element("output");
    return element("div", { class: "bar steps" }, this.play, button("‹", "step before (,)", () => view.move(-1)), this.slider, button("›", "next step (.)", () => view.move(1)), this.where);
  }

  show() {
    const { view } = this;
    const { state } = view;
    this.views.show(state.view, (value) => view.data.has(value));
    this.views.row.hidden = Boolean(view.options.compact);
    this.tag.show(state.tag, view.data.tags(state.view).map((tag) => [tag, tagText(tag)]));
    this.layout.show(state.layout);
    this.layout.row.hidden = view.shown().length < 2 || !["plane", "path"].includes(state.view);
    this.showRuns();
    this.showPlane();
    this.theme.show(state.theme, [["auto", "auto"], ["light", "light"], ["dark", "dark"]]);
    if (view.options.compact) this.theme.row.hidden = true;
    this.showStep();
  }

  showRuns() {
    const { view } = this;
    const entries = view.entries();
    const names = JSON.stringify([entries.map(({ run }) => run), view.state.runs]);
    this.runs.hidden = entries.length < 2;
    if (this.runs.dataset.names === names) return;
    this.runs.dataset.names = names;
    const shown = new Set(view.shownEntries().map(({ run }) => run));
    const boxes = entries.map(({ run }) => {
      const box = element("input", { type: "checkbox", checked: shown.has(run), onchange: () => view.toggle(run, box.checked) });
      return element("label", {}, box, element("span", { class: "swatch", style: `background: var(--run-${view.colourOf(run)})` }), run);
    });
    this.runs.replaceChildren(...boxes);
  }

  showPlane() {
    const { view } = this;
    const { state } = view;
    const scene = view.scene();
    this.plane.hidden = !scene && state.view !== "density";
    const only = (shown, ...rows) => rows.forEach((row) => (row.hidden = !shown));
    const moving = view.steps().length > 1;
    only(scene, this.region.row, this.lr.row);
    only(scene && moving, this.trail.row);
    // Of a map the logarithm would hide what matters, the distance to the circle; of real numbers there is no circle.
    const usable = { symlog: !scene?.map, linear: true, circle: Boolean(scene) && !scene.real };
    this.scale.show(scene?.scale ?? state.scale, (value) => usable[value]);
    const pictures = scene ? view.pictureTags() : [];
    this.picture.show(view.pictureTag() || "none", pictures.length ? [...pictures, "none"].map((tag) => [tag, tag]) : []);
    if (!scene) return;
    only(!scene.map, this.lr.row, this.region.row);
    this.region.show(scene.scale === "circle" ? "disc" : state.region, (value) => scene.scale !== "circle" || value === "disc");
    const middle = Math.round(-Math.log10(scene.large || 1));
    [this.lr.input.min, this.lr.input.max] = [middle - 3, middle + 2];
    this.lr.input.value = Math.log10(scene.lr);
    this.lr.input.setAttribute("aria-valuetext", short(scene.lr, 3));
    this.lr.output.textContent = short(scene.lr, 3);
    this.trail.input.value = state.trail;
    this.trail.output.textContent = state.trail || "off";
    this.trail.input.setAttribute("aria-valuetext", `${state.trail} steps`);
  }

  showStep() {
    const { view } = this;
    const steps = view.steps();
    this.steps.hidden = steps.length < 2;
    this.slider.max = Math.max(0, steps.length - 1);
    this.slider.value = view.position();
    const step = steps[view.position()];
    this.slider.setAttribute("aria-valuetext", `step ${step}`);
    this.where.textContent = `step ${step} (${view.position() + 1} of ${steps.length})`;
    this.play.textContent = view.playing ? "❚❚" : "▶";
  }
}
