// The view: what it shows follows from the catalog, the state and the step; see places.js for where data come from.

import { Analyses } from "./analyses.js";
import { answersTo } from "./charts.js";
import { Controls, element } from "./controls.js";
import { saveAs } from "./exports.js";
import { detailsOf } from "./interaction.js";
import { Data, KINDS, trainingOf } from "./data.js";
import { lookAt } from "./numbers.js";
import { OverSteps } from "./over.js";
import { Panel, Tooltip, tableOf } from "./panels.js";
import { RUN_COLOURS, SHOWN_AT_FIRST, initialState, inkOf, stateOf, stateText } from "./state.js";
import { Said } from "./texts.js";
import { densityPanels, indexPanels, pathPanels, planePanels, planeScene } from "./views.js";

const NOTHING_YET =
  "There are no spectra yet: `gantools train --spectrum-every N` and `gt.board.add_spectrum(writer, tag, spectrum, step)` write them.";
/** What a view shows, for those who see it for the first time. */
const ABOUT = {
  field: "Each point is an eigenvalue λ of the Jacobian of the game, the matrix that tells how the players' gradients change as the players move. Along its eigenvector small gradient steps approach an equilibrium where Re λ > 0 (it attracts) and leave it where Re λ < 0 (it repels); they circle it the faster, the larger |Im λ| is.",
  hessian: "Each point is an eigenvalue λ of a Hessian, the curvature of a loss along an eigenvector: where λ > 0 the loss rises to both sides, where λ < 0 it falls (a saddle, or a maximum), where λ = 0 it is flat.",
  map: "Each point is an eigenvalue λ of one step of the optimizer, its memory included. Along its eigenvector a step multiplies the distance to where it leads by |λ|: the distance shrinks inside the unit circle and grows outside.",
  density: "How many eigenvalues of a player's Hessian lie where: a smoothed curve for each step, and below, at the step of the slider, the fraction up to each point, which lies in the band with the stated confidence. On the left are directions in which the player's own loss curves down.",
  index: "Which fractions of the eigenvalues are negative, zero and positive. Of a player's Hessian, negative ones are directions in which the player's own loss curves down; without any the player is at a minimum, given the others.",
  path: "The cosine between the field and the way from the end back to the start, on the straight line through two checkpoints. Where it changes its sign at the end, the end attracts; a bump there is rotation around it.",
};
const FRAMES_PER_SECOND = 12;
const LONGEST_PLAY = 20; // seconds, for all steps
const TRAIL_MILLISECONDS = 12; // a slice of matching between two pictures

/** The live view in an element. */
export class View {
  /**
   * @param root the element that becomes the view
   * @param source {live, catalog(), numbers(entry), pictureSteps(entry), pictureUrl(entry, step), recalled(),
   *   remember(text), link(text), dark(), whenThemeChanges(call)}
   */
  constructor(root, source, options = {}) {
    Object.assign(this, { root, source, options, data: new Data(source), chosen: null, playing: null });
    this.state = initialState();
    this.fallback = { x0: 0, x1: 1, y0: 0, y1: 1 };
    this.shownPanels = [];
    this.build();
  }

  build() {
    this.root.classList.add("gantools");
    this.root.classList.toggle("compact", Boolean(this.options.compact));
    this.controls = new Controls(this);
    this.analyses = new Analyses(this);
    this.said = new Said(this);
    this.panels = element("div", { class: "panels" });
    this.message = element("div", { class: "message", role: "status" });
    this.tooltip = new Tooltip();
    this.spoken = element("div", { class: "hidden", "aria-live": "polite" });
    this.over = new OverSteps(this);
    this.table = element("div", { class: "table" });
    this.details = element("details", { ontoggle: () => this.invalidate() }, element("summary", {}, "Numbers of this step"), this.table);
    this.legend = element("div", { class: "legend" });
    this.about = element("p");
    this.explained = element("details", { class: "about", open: !this.source.live }, element("summary", {}, "What is shown"), this.about);
    this.help = element("details", { hidden: this.options.compact }, element("summary", {}, "Keys"), element("p", {}, "Space plays; , and . move a step. On a focused plane: arrows pan, + and − zoom, 0 shows all, n and p go from one eigenvalue to the next. With the pointer: drag pans, Shift or Ctrl with the wheel zooms, a double click shows all."));
    // A report may be somebody's first; who has the tab open sees it often.
    const [first, later] = this.source.live ? [[], [this.explained]] : [[this.explained], []];
    this.root.replaceChildren(this.controls.top, this.analyses.row, this.controls.steps, ...first, this.legend, this.message, this.panels, this.said.box, this.over.box, this.details, ...later, this.help, this.tooltip.box, this.spoken);
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.invalidate()).observe(this.root);
    this.source.whenThemeChanges(() => this.invalidate());
  }

  async start() {
    this.state = stateOf(this.source.recalled());
    await this.refresh();
  }

  /** Read the catalog again, and what of it is shown and has changed. */
  refresh() {
    return this.attempt(async () => {
      await this.data.refresh();
      await this.load();
    });
  }

  async attempt(action) {
    try {
      await action();
    } catch (error) {
      this.say(`The data cannot be read: ${error.message}.`);
    }
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  // What is shown -----------------------------------------------------------------------------------------------------

  entries() {
    return this.data.entries(this.state.view, this.state.tag);
  }

  shownEntries() {
    const entries = this.entries();
    const chosen = entries.filter(({ run }) => this.state.runs.includes(run));
    return chosen.length ? chosen : entries.slice(0, SHOWN_AT_FIRST);
  }

  /** Series that are shown and read. */
  shown() {
    return this.shownEntries().map((entry) => this.data.series(entry)).filter((series) => series?.looks.length);
  }

  colourOf(run) {
    return this.data.trainings.indexOf(trainingOf(run)) % RUN_COLOURS;
  }

  steps() {
    const series = this.shown();
    const key = series.map(({ run, key: tag, looks }) => `${run} ${tag} ${looks.length} ${looks.at(-1).step}`).join("\n");
    if (this.stepsKey !== key) {
      this.stepsKey = key;
      this.allSteps = [...new Set(series.flatMap(({ looks }) => looks.map(({ step }) => step)))].sort((a, b) => a - b);
    }
    return this.allSteps;
  }

  position() {
    const steps = this.steps();
    if (this.state.step === null) return Math.max(0, steps.length - 1);
    return steps.length ? lookAt(steps, this.state.step, Number) : 0;
  }

  step() {
    return this.steps()[this.position()] ?? 0;
  }

  shownRuns() {
    return new Set(this.shownEntries().map(({ run }) => run));
  }

  scalarTags() {
    return this.data.scalars.shown(this.shownRuns(), this.state.scalars);
  }

  pictureTags() {
    return this.data.pictureTags(this.shownRuns());
  }

  pictureTag() {
    if (this.state.picture === "none") return "";
    const tags = this.pictureTags();
    return tags.includes(this.state.picture) ? this.state.picture : (tags.find((tag) => tag.endsWith("samples")) ?? tags[0] ?? "");
  }

  pictureOf(run, step) {
    return this.data.picture(run, this.pictureTag(), step);
  }

  /** By run, the entry of the search that answers what is drawn over steps, where the one that is shown does not. */
  answering() {
    const selections = this.state.view === "plane" ? answersTo(this.state.measure) : [];
    const found = this.shownEntries().filter(({ complete, tag }) => !complete && !selections.includes(tag.slice(tag.lastIndexOf("/") + 1)));
    return new Map(found.map((entry) => [entry.run, this.data.searchedFor(entry, selections)]).filter(([, other]) => other));
  }

  /** Read what is shown and was not read, or has grown since. */
  async load() {
    const { data, state } = this;
    if (state.tag === "" && state.view === initialState().view) Object.assign(state, data.opening());
    if (!data.has(state.view)) state.view = Object.keys(KINDS).find((view) => data.has(view)) ?? "plane";
    if (!data.tags(state.view).includes(state.tag)) state.tag = data.tags(state.view)[0] ?? "";
    const entries = [...this.shownEntries(), ...this.answering().values()];
    if (data.empty) this.say(NOTHING_YET);
    else if (!entries.every((entry) => data.series(entry))) this.say("Reading …");
    const runs = this.shownRuns();
    await Promise.all([...entries.map((entry) => data.load(entry)), data.scalars.load(this.scalarTags(), runs), data.texts.load(runs), data.loadPictureSteps(this.pictureTag(), runs)]);
    if (this.shown().length) this.say("");
    this.invalidate();
  }

  // Changes -----------------------------------------------------------------------------------------------------------

  set(change) {
    Object.assign(this.state, change);
    if ("tag" in change || "view" in change || "scale" in change) this.chosen = null;
    if ("view" in change || "tag" in change) this.state.window = null;
    this.source.remember(stateText(this.state));
    if (["view", "tag", "runs", "scalars", "picture", "measure"].some((name) => name in change)) return this.attempt(() => this.load());
    this.invalidate();
    return Promise.resolve();
  }

  toggle(run, on) {
    const shown = this.shownEntries().map((entry) => entry.run);
    const runs = on ? [...shown, run] : shown.filter((other) => other !== run);
    if (runs.length) this.set({ runs });
    else this.controls.runs.dataset.names = ""; // the last one stays: bring its box back
    this.invalidate();
  }

  seek(position) {
    const steps = this.steps();
    this.set({ step: steps[Math.min(Math.max(position, 0), steps.length - 1)] ?? null });
  }

  move(by) {
    this.seek(this.position() + by);
    if (!this.playing) this.spoken.textContent = `step ${this.step()}`;
  }

  play() {
    clearInterval(this.playing);
    if (this.playing) this.playing = null;
    else {
      const stride = Math.max(1, Math.round(this.steps().length / (FRAMES_PER_SECOND * LONGEST_PLAY)));
      if (this.position() === this.steps().length - 1) this.seek(0);
      this.playing = setInterval(() => {
        this.move(stride);
        if (this.position() >= this.steps().length - 1) this.play();
      }, 1000 / FRAMES_PER_SECOND);
    }
    this.invalidate();
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|BUTTON|SUMMARY)$/.test(event.target.tagName)) return;
    const actions = { " ": () => this.play(), ",": () => this.move(-1), ".": () => this.move(1) };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  /** Choose an eigenvalue to tell about, or none. */
  choose(chosen, event) {
    if (!chosen && !this.chosen) return;
    this.chosen = chosen;
    const layer = chosen && this.shownPanels[chosen.panel]?.spec.scene?.layers[chosen.layer];
    const look = layer?.series.looks[layer.index];
    const rows = look ? detailsOf(layer.series, look, chosen.i, this.plane().judgedBy || this.plane().lr) : null;
    this.tooltip.show(rows, layer ? `${layer.series.run || layer.series.tag}, step ${look.step}` : "", event);
    if (event.spoken && rows) this.spoken.textContent = rows.map((row) => row.join(" ")).join("; ");
    this.invalidate();
  }

  // Drawing -----------------------------------------------------------------------------------------------------------

  invalidate() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  plane() {
    return planeScene(this);
  }

  /** The scene of the planes, or null where none are shown. */
  scene() {
    return this.state.view === "plane" ? this.plane() : null;
  }

  specs() {
    return { plane: planePanels, density: densityPanels, index: indexPanels, path: pathPanels }[this.state.view](this);
  }

  draw() {
    const dark = this.source.dark() ?? matchMedia("(prefers-color-scheme: dark)").matches;
    this.root.dataset.theme = this.state.theme === "auto" ? (dark ? "dark" : "light") : this.state.theme;
    this.ink = inkOf(this.root);
    const specs = this.shown().length ? this.specs() : [];
    this.controls.top.hidden = this.data.empty;
    this.controls.show();
    this.analyses.show();
    while (this.shownPanels.length < specs.length) this.shownPanels.push(new Panel(this, this.shownPanels.length));
    const figures = specs.map((_, k) => this.shownPanels[k].figure);
    if (this.panels.children.length !== figures.length) this.panels.replaceChildren(...figures);
    this.panels.dataset.count = figures.length;
    specs.forEach((spec, k) => this.shownPanels[k].show(spec, this.ink));
    this.drawBelow(specs);
    this.root.dataset.drawn = specs.length ? `${this.state.view} ${this.step()}` : "";
    this.prepareTrails();
  }

  drawBelow(specs) {
    const scene = specs.length > 0 ? this.scene() : null;
    const plane = Boolean(scene);
    this.legend.hidden = !plane;
    if (plane) this.showLegend(scene);
    this.explained.hidden = !specs.length || Boolean(this.options.compact);
    this.about.textContent = ABOUT[scene ? (scene.map ? "map" : scene.real ? "hessian" : "field") : this.state.view];
    this.said.show();
    this.over.show();
    this.details.hidden = !plane;
    if (plane && this.details.open && !this.playing) this.table.replaceChildren(tableOf(this.shownLooks(), scene.judgedBy || scene.lr));
  }

  showLegend(scene) {
    const marks = [["●", "attracts", "attracts"], ["◆", "repels", "repels"], ["✕", "neutral", "neutral"], ["■", "undecided", "within its error of the edge"], ["○", "faint", "not converged"], ["▒", "repels", scene.regionText]];
    const present = JSON.stringify(marks);
    if (this.legend.dataset.present === present) return;
    this.legend.dataset.present = present;
    this.legend.replaceChildren(...marks.filter(([, , text]) => text).map(([mark, colour, text]) => element("span", { "data-mark": mark, style: `--mark: var(--${colour})` }, text)));
  }

  /** The picture comes first; the trails that it lacks are matched in slices after it. */
  prepareTrails() {
    if (this.state.view !== "plane" || !this.state.trail || this.waiting) return;
    const deadline = performance.now() + TRAIL_MILLISECONDS;
    let made = false;
    for (const series of this.shown()) {
      const index = lookAt(series.looks, this.step());
      const before = series.trails.matches.size;
      series.trails.prepare(index, this.state.trail, deadline);
      made ||= series.trails.matches.size > before;
    }
    if (!made) return;
    this.waiting = setTimeout(() => {
      this.waiting = null;
      this.invalidate();
    });
  }

  // Files and links ---------------------------------------------------------------------------------------------------

  shownLooks() {
    return this.shown().map((series) => ({ series, looks: series.looks, look: series.looks[lookAt(series.looks, this.step())] }));
  }

  save(kind) {
    return saveAs(kind, this);
  }

  async copyLink() {
    const link = this.source.link(stateText({ ...this.state, step: this.step() }));
    try {
      await navigator.clipboard.writeText(link);
      this.controls.link.textContent = "copied";
    } catch {
      this.controls.link.textContent = link; // where a page may not copy, the reader does
    }
  }
}
