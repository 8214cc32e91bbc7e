// Sentences that runs log beside their looks: verdicts on a watched loop, notes of a training, shown below the panels.

import { element } from "./controls.js";
import { lookAt } from "./numbers.js";
import { beside, byName } from "./scalars.js";

const VERDICT = "game/verdict";
const NOTE = "note";

/** The sentences of a source, read as far as they were asked for. */
export class Texts {
  constructor(source) {
    this.source = source;
    this.read = new Map();
    this.refresh({});
  }

  refresh({ texts = [] }) {
    this.entries = byName(texts);
  }

  /** Read the sentences of runs, those that were not read or have grown since. */
  async load(runs) {
    const wanted = new Set([...runs].flatMap((run) => [VERDICT, NOTE].map((tag) => beside(this.entries, run, tag)).filter(Boolean)));
    await Promise.all(
      [...wanted].map(async (entry) => {
        const before = this.read.get(`${entry.run}\n${entry.tag}`);
        if (before && before.last === entry.last && before.time === entry.time) return;
        this.read.set(`${entry.run}\n${entry.tag}`, { ...entry, said: await this.source.texts(entry) });
      }),
    );
  }

  /** The (step, text) beside a run in the order of steps; none where it has none or they are not read. */
  of(run, tag) {
    const entry = beside(this.entries, run, tag);
    return (entry && this.read.get(`${entry.run}\n${entry.tag}`)?.said) ?? [];
  }
}

/** The part of the page with the verdict on each shown run at the present step, and its notes. */
export class Said {
  constructor(view) {
    this.view = view;
    this.verdicts = element("div");
    this.count = element("summary");
    this.list = element("ul");
    this.notes = element("details", {}, this.count, this.list);
    this.box = element("section", { class: "said", "aria-label": "verdict and notes" }, this.verdicts, this.notes);
  }

  show() {
    const { view } = this;
    const { texts } = view.data;
    const runs = [...view.shownRuns()];
    const name = (run) => (runs.length > 1 ? `${run}, ` : "");
    const verdicts = runs.flatMap((run) => {
      const said = texts.of(run, VERDICT);
      const [step, text] = said[lookAt(said, view.step(), ([at]) => at)] ?? [];
      return text === undefined || step > view.step() ? [] : [[`Verdict at ${name(run)}step ${step}`, text]];
    });
    const notes = runs.flatMap((run) => texts.of(run, NOTE).map(([step, text]) => `${name(run)}step ${step}: ${text}`));
    this.box.hidden = !verdicts.length && !notes.length;
    this.notes.hidden = !notes.length;
    const present = JSON.stringify([verdicts, notes]);
    if (this.box.dataset.present === present) return;
    this.box.dataset.present = present;
    const lines = (text) => text.split(/\n+/).map((line) => element("p", {}, line));
    this.verdicts.replaceChildren(...verdicts.map(([head, text]) => element("div", {}, element("b", {}, head), ...lines(text))));
    this.count.textContent = `Notes of the training: ${notes.length}`;
    this.list.replaceChildren(...notes.map((note) => element("li", {}, note)));
  }
}
