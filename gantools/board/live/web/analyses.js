// The choice between a training's looks and analyses of its checkpoints, which `gantools spectrum`, `index` and others made.

import { element } from "./controls.js";
import { tagText } from "./numbers.js";

const NAMED = 2; // by a button; a list has those that are older

/** A row of buttons: back to the training, and the newest analyses; and a list of the others. */
export class Analyses {
  constructor(view) {
    this.view = view;
    this.row = element("div", { class: "bar analyses", role: "group", "aria-label": "training or analysis" });
  }

  show() {
    const { view } = this;
    const found = view.data.hasTraining ? view.data.analyses() : [];
    this.row.hidden = !found.length || Boolean(view.options.compact);
    const present = JSON.stringify([found, view.state.tag, view.state.view]);
    if (this.row.dataset.present === present) return;
    this.row.dataset.present = present;
    const button = (text, pressed, change) => element("button", { type: "button", "aria-pressed": String(pressed), onclick: () => view.set(change) }, text);
    const analysed = found.some(({ tag }) => tag === view.state.tag);
    this.row.replaceChildren(
      button("the training", !analysed, { view: "plane", tag: "" }),
      element("span", {}, "analyses of its checkpoints"),
      ...found.slice(0, NAMED).map((one) => button(wordsOf(one), one.tag === view.state.tag, { view: one.view, tag: one.tag })),
      ...(found.length > NAMED ? [this.others(found.slice(NAMED))] : []),
    );
  }

  others(found) {
    const choose = ({ target }) => {
      const one = found[target.value];
      if (one) this.view.set({ view: one.view, tag: one.tag });
    };
    const select = element("select", { "aria-label": "older analyses", onchange: choose }, element("option", { value: "" }, `${found.length} older`));
    select.append(...found.map((one, k) => element("option", { value: k, selected: one.tag === this.view.state.tag }, wordsOf(one))));
    return select;
  }
}

const wordsOf = ({ tag, step, newer }) => `${tagText(tag.slice(tag.indexOf("/") + 1))}, step ${step}${newer ? " (new)" : ""}`;
