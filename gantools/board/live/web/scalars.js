// Scalars that runs log beside their looks, losses and metrics say: which there are, which to show first, their numbers.

// What says most first.
const SORTS = [/^metrics?\/|^eval|\bfid\b/i, /loss/i, /norm/i];
const [METRIC, LOSS] = SORTS.keys();
// Of the metrics those that gantools measures itself, behind those that a game brings.
const OWN_METRICS = ["modes_covered", "frechet_distance", "coverage", "high_quality", "kernel_distance", "precision", "recall", "density"];
const SCALARS_AT_FIRST = 3;
// Beside those, always: what a method chose for itself.
const CHOSEN_BY_THE_METHOD = /^auto\//;

const sortOf = (tag) => {
  const sort = SORTS.findIndex((pattern) => pattern.test(tag));
  return sort < 0 ? SORTS.length : sort;
};
const keyOf = (run, tag) => `${run}\n${tag}`;

/** Return what a map by run and tag has beside a run's looks: the run's own, or of the training in whose folder it lies. */
export function beside(entries, run, tag) {
  const above = run.includes("/") ? run.slice(0, run.lastIndexOf("/")) : ".";
  return entries.get(keyOf(run, tag)) ?? entries.get(keyOf(above, tag));
}

/** Return entries of a catalog by run and tag. */
export const byName = (entries) => new Map(entries.map((entry) => [keyOf(entry.run, entry.tag), entry]));

/** The scalars of a source, read as far as they were asked for. */
export class Scalars {
  constructor(source) {
    this.source = source;
    this.read = new Map();
    this.refresh({ scalars: [], series: [] });
  }

  refresh({ scalars, series }) {
    this.entries = byName(scalars);
    this.all = [...new Set(scalars.map(({ tag }) => tag))];
    // Extremes of a spectrum, fractions of an index: the looks themselves tell them.
    const looks = [...new Set(series.map(({ tag }) => `${tag}/`))];
    this.told = new Set(this.all.filter((tag) => looks.some((start) => tag.startsWith(start))));
    this.found = new Map();
  }

  of(run, tag) {
    return beside(this.entries, run, tag);
  }

  /** The tags that some of these runs have, what says most first. */
  tags(runs) {
    const key = JSON.stringify([...runs]);
    if (!this.found.has(key)) {
      const tags = this.all.filter((tag) => [...runs].some((run) => this.of(run, tag)));
      const place = (tag) => (this.told.has(tag) ? SORTS.length + 1 : sortOf(tag));
      const own = (tag) => (sortOf(tag) === METRIC ? OWN_METRICS.indexOf(tag.slice(tag.indexOf("/") + 1)) : 0);
      this.found.set(key, tags.sort((a, b) => place(a) - place(b) || own(a) - own(b) || (a < b ? -1 : 1)));
    }
    return this.found.get(key);
  }

  /** The tags to show: those chosen that there are, or, where none were chosen, a metric and two losses, or what there is;
   * and what a method chose for itself. */
  shown(runs, chosen) {
    const tags = this.tags(runs);
    const wanted = chosen?.filter((tag) => tags.includes(tag));
    if (wanted && (wanted.length || !chosen.length)) return wanted;
    const own = tags.filter((tag) => CHOSEN_BY_THE_METHOD.test(tag));
    const untold = tags.filter((tag) => !this.told.has(tag) && !own.includes(tag));
    const of = (sort) => untold.filter((tag) => sortOf(tag) === sort);
    const first = [...of(METRIC).slice(0, 1), ...of(LOSS).slice(0, 2)];
    return [...first, ...untold.filter((tag) => !first.includes(tag))].slice(0, SCALARS_AT_FIRST).concat(own);
  }

  /** Read scalars of runs, those that were not read or have grown since. */
  async load(tags, runs) {
    const wanted = new Set(tags.flatMap((tag) => [...runs].map((run) => this.of(run, tag)).filter(Boolean)));
    await Promise.all(
      [...wanted].map(async (entry) => {
        const key = keyOf(entry.run, entry.tag);
        const before = this.read.get(key);
        if (before && before.last === entry.last && before.time === entry.time) return;
        const numbers = new Float64Array(await this.source.scalars(entry));
        const points = Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i], numbers[2 * i + 1]]);
        this.read.set(key, { ...entry, points });
      }),
    );
  }

  /** The (step, value) of a scalar beside a run; none where it has none or they are not read. */
  points(run, tag) {
    const entry = this.of(run, tag);
    return (entry && this.read.get(keyOf(entry.run, entry.tag))?.points) ?? [];
  }
}
