// The section of a diagnosis in a report: findings with their evidence, advice to type, and what stays undecided.

import { element } from "./controls.js";

/** Return the section of a diagnosis, as `gantools diagnose` writes it. */
export function diagnosisSection(diagnosis) {
  const { findings, undecided, spectrum } = diagnosis;
  const parts = [element("h2", {}, "Diagnosis"), element("p", { class: "verdict" }, verdict(diagnosis))];
  if (findings.length) parts.push(element("ol", {}, ...findings.map(findingItem)));
  if (undecided.length) parts.push(element("h3", {}, "Undecided"), bullets(undecided));
  if (spectrum.length) {
    const source = element("p", {}, "By the diagnosis' own searches for both ends of the spectrum. Further below are the looks that training took: game/jacobian/SR is its search for the smallest real part; the smallest among the eigenvalues of another search, for the largest |λ| say, is not the smallest of all.");
    parts.push(element("details", {}, element("summary", {}, "What the spectrum of the Jacobian says"), source, bullets(spectrum)));
  }
  return element("section", { class: "diagnosis" }, ...parts);
}

function verdict({ findings, healthy, steps, subject }) {
  const followed = `${subject}: ${steps} steps were followed. `;
  if (findings.length) return `${followed}${findings.length === 1 ? "One cause" : `${findings.length} causes`} of trouble, the most harmful first.`;
  return followed + (healthy ? "Healthy: no cause of trouble was found; look elsewhere." : "No cause of trouble was found.");
}

function findingItem(finding) {
  const sure = element("span", { class: finding.certain ? "certain" : "probable" }, finding.certain ? "certain" : "probable");
  const title = element("h3", {}, finding.title.replace(" (probably)", ""), " ", sure);
  return element("li", {}, title, element("p", {}, finding.evidence), ...finding.advice.map(adviceBlock));
}

function adviceBlock({ line, flags, effect, cost, tried }) {
  const terms = [`predicted${tried ? ", tried" : ""}`, effect, "if wrong", cost];
  const lines = terms.map((text, i) => element(i % 2 ? "dd" : "dt", {}, text));
  const typed = flags.length ? [flagLine(flags.join(" "))] : [];
  return element("div", { class: "advice" }, element("p", {}, line), ...typed, element("dl", {}, ...lines));
}

function flagLine(text) {
  const code = element("code", {}, text);
  const button = element("button", { title: "Copy the flags, to add them to gantools train" }, "copy");
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = "selected: press Ctrl C"; // where a page may not copy, the reader does
    }
  });
  return element("div", { class: "flags" }, code, button);
}

function bullets(sentences) {
  return element("ul", {}, ...sentences.map((sentence) => element("li", {}, sentence)));
}
