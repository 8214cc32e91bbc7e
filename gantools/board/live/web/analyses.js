// The choice between a training's looks and analyses of its checkpoints, which `gantools spectrum`, `index` and others made.

import { element } from "./controls.js";
import { tagText } from "./numbers.js";

const MOST_ANALYSES = 6; // the selection of tags has all

/** A row of buttons: back to the training, and the newest analyses. */
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
    const words = ({ tag, step, newer }) => `${tagText(tag.slice(tag.indexOf("/") + 1))}, step ${step}${newer ? " (new)" : ""}`;
    this.row.replaceChildren(
      button("the training", !analysed, { view: "plane", tag: "" }),
      element("span", {}, "analyses of its checkpoints"),
      ...found.slice(0, MOST_ANALYSES).map((one) => button(words(one), one.tag === view.state.tag, { view: one.view, tag: one.tag })),
      ...(found.length > MOST_ANALYSES ? [element("span", {}, `and ${found.length - MOST_ANALYSES} more in the selection`)] : []),
    );
  }
}
