// What each view shows: the panels of the plane, the density, the index and the path.

import { densityAxis, densitySummary, drawDensity, drawIndex, drawPath, indexOfSpectra, indexSummary, pathSummary } from "./distributions.js";
import { lookAt } from "./numbers.js";
import { drawPlane, summary } from "./plane.js";
import { frameFor } from "./scales.js";

/** Return what all panels of the plane have in common. */
export function planeScene(view) {
  const { state } = view;
  const shown = view.shown();
  const first = shown[0]?.looks[0];
  const map = first?.operator === "map";
  const real = Boolean(first) && shown.every(({ looks }) => looks.every((look) => !look.imag));
  const scale = real && state.scale === "circle" ? "symlog" : map && state.scale !== "linear" ? "circle" : state.scale;
  const large = Math.max(...shown.map(({ bounds }) => bounds.large), 0);
  const lr = state.lr || shown.map(({ looks }) => looks.at(-1).lr).find((x) => x > 0) || 1 / (large || 1);
  const region = scale === "circle" ? "disc" : state.region;
  const frame = frameFor(shown.map(({ bounds }) => bounds), { scale, lr, map, real });
  const judgedBy = !map && region === "disc" ? lr : 0;
  const regionText = map ? "outside the unit circle: a step moves away" : { half: "negative real part: small steps move away", disc: "outside the disc |1 − lr λ| < 1: a step moves away", none: "" }[region];
  return { scale, region, lr, map, real, large, frame, judgedBy, regionText, window: state.window ?? frame.window, trail: state.trail, chosen: null };
}

export function planePanels(view) {
  const common = planeScene(view);
  const layers = view.shown().map((series) => ({ series, index: lookAt(series.looks, view.step()), colour: null }));
  const lookOf = ({ series, index }) => series.looks[index];
  const sentence = (layer) => `${stepText(view, lookOf(layer).step)}${summary(lookOf(layer), common.judgedBy)}${unreadableText(layer.series)}`;
  const panel = (own, number, title, text, colour) => {
    const scene = { ...common, layers: own, chosen: view.chosen?.panel === number ? view.chosen : null };
    const pictures = own.map(({ series }) => view.pictureOf(series.run, view.step())).filter(Boolean);
    return { title, colour, sentence: text, scene, pictures, draw: (painter) => drawPlane(painter, scene, view.ink) };
  };
  if (view.state.layout === "over" && layers.length > 1) {
    const own = layers.map((layer) => ({ ...layer, colour: view.ink.runs[view.colourOf(layer.series.run)] }));
    return [panel(own, 0, view.state.tag, own.map((layer) => `${layer.series.run}, ${sentence(layer)}`).join("; "), null)];
  }
  const colour = ({ series }) => (layers.length > 1 ? view.ink.runs[view.colourOf(series.run)] : null);
  return layers.map((layer, k) => panel([layer], k, titleOf(layer.series), sentence(layer), colour(layer)));
}

/** A result in a notebook is of no step. */
const stepText = (view, step) => (view.options.compact ? "" : `step ${step}: `);
const titleOf = (series) => series.run && series.run !== "." ? series.run : series.tag;
const unreadableText = ({ unreadable }) => (unreadable ? `; ${unreadable} steps could not be read` : "");

export function densityPanels(view) {
  const shown = view.shown();
  const axis = densityAxis(shown.flatMap(({ looks }) => looks), view.state.scale);
  return shown.map((series) => {
    const index = lookAt(series.looks, view.step());
    const look = series.looks[index];
    const draw = (painter) => drawDensity(painter, { looks: series.looks, index, axis }, view.ink);
    return { title: titleOf(series), sentence: stepText(view, look.step) + densitySummary(look), draw, aspect: 1, series };
  });
}

export function indexPanels(view) {
  return view.shown().map((series) => {
    const looks = series.kind === "index" ? series.looks : indexOfSpectra(series.looks);
    if (!looks.length) {
      return { title: titleOf(series), sentence: "these spectra are not whole, so they have no index: `gantools index RUN --checkpoint all` estimates it.", draw: () => undefined, aspect: 0.2, series, looks };
    }
    const look = looks[lookAt(looks, view.step())];
    const draw = (painter) => void drawIndex(painter, { looks, step: view.step() }, view.ink);
    return { title: titleOf(series), sentence: stepText(view, look.step) + indexSummary(look), draw, aspect: 0.6, series, looks };
  });
}

export function pathPanels(view) {
  const shown = view.shown().map((series) => ({ series, path: series.looks[lookAt(series.looks, view.step())] }));
  const colour = ({ series }) => view.ink.runs[view.colourOf(series.run)];
  const sentence = ({ path }) => (view.options.compact ? "" : `to step ${path.step}: `) + pathSummary(path);
  const panel = (own, title, text) => ({ title, sentence: text, aspect: 0.9, draw: (painter) => drawPath(painter, { paths: own.map(({ path }) => path), colours: own.map(colour) }, view.ink) });
  if (view.state.layout === "over" && shown.length > 1) return [panel(shown, view.state.tag, shown.map((own) => `${own.series.run}, ${sentence(own)}`).join("; "))];
  return shown.map((own) => ({ ...panel([own], titleOf(own.series), sentence(own)), colour: shown.length > 1 ? colour(own) : null }));
}
