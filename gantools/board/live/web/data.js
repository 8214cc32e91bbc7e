// The data of a view: the catalog, the series that were read, and the steps that have pictures.

import { Trails } from "./matching.js";
import { boundsOf, decodeStream, lookAt } from "./numbers.js";
import { Scalars } from "./scalars.js";
import { symlog, thresholdFor } from "./scales.js";

/** The kinds of looks that a view shows, its own first: spectra that are whole can be counted and have an index. */
export const KINDS = { plane: ["spectrum"], density: ["density"], index: ["index", "spectrum"], path: ["path"] };

/** The training that a run is, or whose checkpoints it is an analysis of: both have one colour. */
export const trainingOf = (run) => (run === "analysis" ? "." : run.replace(/\/analysis$/, ""));

const nameOf = ({ run, key }) => `${run}\n${key}`;

/** What a source has, read as far as it was asked for. */
export class Data {
  constructor(source) {
    this.source = source;
    this.catalog = { series: [], scalars: [], pictures: [] };
    this.trainings = [];
    this.read = new Map();
    this.pictures = new Map();
    this.scalars = new Scalars(source);
  }

  async refresh() {
    this.catalog = await this.source.catalog();
    this.scalars.refresh(this.catalog);
    this.trainings = [...new Set(this.catalog.series.map(({ run }) => trainingOf(run)))].sort();
  }

  get empty() {
    return !this.catalog.series.length;
  }

  /** Entries of the catalog that a view can show, of one tag or of all. */
  entries(view, tag = null) {
    const [own] = KINDS[view];
    const counted = ({ kind, operator, complete }) => kind === own || (complete && operator !== "map");
    const found = this.catalog.series.filter((entry) => KINDS[view].includes(entry.kind) && counted(entry));
    const ordered = [...found.filter(({ kind }) => kind === own), ...found.filter(({ kind }) => kind !== own)];
    return tag === null ? ordered : ordered.filter((entry) => entry.tag === tag);
  }

  has(view) {
    return this.entries(view).length > 0;
  }

  tags(view) {
    return [...new Set(this.entries(view).map(({ tag }) => tag))];
  }

  /** The view and the tag of an analysis that was made after all else was logged; null where training came later. */
  latestAnalysis() {
    const newest = this.catalog.series.reduce((best, entry) => (best && best.time >= entry.time ? best : entry), null);
    if (!newest?.tag.startsWith("analysis/")) return null;
    const view = Object.keys(KINDS).find((name) => KINDS[name][0] === newest.kind);
    return view ? { view, tag: newest.tag } : null;
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
