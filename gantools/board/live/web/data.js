// The data of a view: the catalog, the series that were read, and the steps that have pictures.

import { Trails } from "./matching.js";
import { SELECTIONS, boundsOf, decodeStream, lookAt } from "./numbers.js";
import { Scalars } from "./scalars.js";
import { symlog, thresholdFor } from "./scales.js";
import { Texts } from "./texts.js";

/** The kinds of looks that a view shows, its own first: spectra that are whole can be counted and have an index. */
export const KINDS = { plane: ["spectrum"], density: ["density"], index: ["index", "spectrum"], path: ["path"] };

/** The training that a run is, or whose checkpoints it is an analysis of: both have one colour. */
export const trainingOf = (run) => (run === "analysis" ? "." : run.replace(/\/analysis$/, ""));

/** Whether a series is of an analysis command, which looks at a checkpoint; the others are of a training. */
const isAnalysis = ({ tag }) => tag.startsWith("analysis/");

const nameOf = ({ run, key }) => `${run}\n${key}`;

/** What a source has, read as far as it was asked for. */
export class Data {
  constructor(source) {
    this.source = source;
    this.catalog = { series: [], scalars: [], pictures: [], texts: [] };
    this.trainings = [];
    this.read = new Map();
    this.pictures = new Map();
    this.scalars = new Scalars(source);
    this.texts = new Texts(source);
  }

  async refresh() {
    this.catalog = await this.source.catalog();
    this.scalars.refresh(this.catalog);
    this.texts.refresh(this.catalog);
    this.trainings = [...new Set(this.catalog.series.map(({ run }) => trainingOf(run)))].sort();
  }

  get empty() {
    return !this.catalog.series.length;
  }

  /** Entries of the catalog that a view can show, of one tag or of all; a training's before those of analyses. */
  entries(view, tag = null) {
    const [own] = KINDS[view];
    const counted = ({ kind, operator, complete }) => kind === own || (complete && operator !== "map");
    const found = this.catalog.series.filter((entry) => KINDS[view].includes(entry.kind) && counted(entry));
    const place = (entry) => 2 * (entry.kind !== own) + isAnalysis(entry);
    const ordered = found.sort((a, b) => place(a) - place(b)); // stable: within a place by tag
    return tag === null ? ordered : ordered.filter((entry) => entry.tag === tag);
  }

  has(view) {
    return this.entries(view).length > 0;
  }

  tags(view) {
    return [...new Set(this.entries(view).map(({ tag }) => tag))];
  }

  /** Whether a training has looks here, beside which analyses of its checkpoints are another choice. */
  get hasTraining() {
    return this.catalog.series.some((entry) => !isAnalysis(entry));
  }

  /** Analyses, the newest first, as {view, tag, step, newer}: the last step, and whether no training logged later. */
  analyses() {
    const found = new Map();
    const last = this.catalog.series.reduce((time, entry) => (isAnalysis(entry) ? time : Math.max(time, entry.time)), -Infinity);
    for (const entry of this.catalog.series.filter(isAnalysis).sort((a, b) => b.time - a.time)) {
      const view = Object.keys(KINDS).find((name) => KINDS[name][0] === entry.kind);
      if (view && !found.has(entry.tag)) found.set(entry.tag, { view, tag: entry.tag, step: entry.last, newer: entry.time > last });
    }
    return [...found.values()];
  }

  /** Where a view opens: at the training's looks, and where there are none at the analysis that was made last. */
  opening() {
    if (this.hasTraining || !this.analyses().length) return {};
    const [{ view, tag }] = this.analyses();
    return { view, tag };
  }

  /**
   * The entry of the same operator and run whose search was for other eigenvalues, by the abbreviations of these: beside
   * a tag .../LM that of .../SR; undefined where there is none.
   */
  searchedFor({ run, tag }, selections) {
    const at = tag.lastIndexOf("/");
    if (!(tag.slice(at + 1) in SELECTIONS)) return undefined;
    const wanted = selections.map((selection) => `${tag.slice(0, at)}/${selection}`);
    return this.catalog.series.find((entry) => entry.run === run && entry.kind === "spectrum" && wanted.includes(entry.tag));
  }

  /** The series of an entry that has looks, or undefined. */
  answer(entry) {
    const series = entry && this.series(entry);
    return series?.looks.length ? series : undefined;
  }

  /** The series of an entry, or undefined while it is not read. */
  series(entry) {
    return this.read.get(nameOf(entry));
  }

  /** Read an entry's series, if it was not read or has grown since. */
  async load(entry) {
    const before = this.series(entry);
    if (before && before.last === entry.last && before.time === entry.time) return;
    const { looks, unreadable } = decodeStream(await this.source.numbers(entry));
    const series = { ...entry, looks, unreadable };
    if (entry.kind === "spectrum") {
      series.bounds = boundsOf(looks);
      series.trails = new Trails(looks, symlog(thresholdFor(series.bounds.small, series.bounds.large)));
    }
    this.read.set(nameOf(entry), series);
  }

  /** The tags of pictures that some of these runs have. */
  pictureTags(runs) {
    return [...new Set(this.catalog.pictures.filter(({ run }) => runs.has(run)).map(({ tag }) => tag))];
  }

  async loadPictureSteps(wanted, runs) {
    const entries = this.catalog.pictures.filter(({ run, tag }) => tag === wanted && runs.has(run));
    await Promise.all(
      entries.map(async (entry) => {
        this.pictures.set(`${entry.run}\n${entry.tag}`, { entry, steps: await this.source.pictureSteps(entry) });
      }),
    );
  }

  /** Return the picture of a run at a step, the last one up to it, as {url, text}; null if there is none. */
  picture(run, tag, step) {
    const { entry, steps } = this.pictures.get(`${run}\n${tag}`) ?? {};
    if (!entry || !steps.length) return null;
    const at = steps[lookAt(steps, step, Number)];
    return { url: this.source.pictureUrl(entry, at), text: `${tag}${run && run !== "." ? ` of ${run}` : ""}, step ${at}` };
  }
}
