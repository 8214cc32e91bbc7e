// Trails: which eigenvalue of one step became which of the next, by assignment and not by their order.

import { NEUTRAL, NOT_FINITE, classOf } from "./numbers.js";

export const MOST_MATCHED = 600; // the assignment of n eigenvalues can take n³ operations
const GATE = 0.75; // decades: farther than this is another eigenvalue

/**
 * Return for each row of a cost matrix the column it is assigned to, such that the sum of the costs is smallest.
 *
 * Hungarian method with potentials: each row is added by a shortest augmenting path (Kuhn 1955; Jonker and Volgenant
 * 1987). Where most rows have a nearest column of their own, a row takes one pass.
 *
 * @param {number} rows at most as many as columns
 * @param {Float64Array} cost rows times columns
 * @returns {Int32Array} a column for each row
 */
export function assign(rows, columns, cost) {
  const ofRow = new Float64Array(rows + 1);
  const ofColumn = new Float64Array(columns + 1);
  const rowAt = new Int32Array(columns + 1).fill(rows); // the row that a column has; the last column is the source
  const before = new Int32Array(columns + 1);
  const nearest = new Float64Array(columns + 1);
  const done = new Uint8Array(columns + 1);
  for (let row = 0; row < rows; row++) {
    let column = columns;
    rowAt[column] = row;
    nearest.fill(Infinity);
    done.fill(0);
    do {
      done[column] = 1;
      const current = rowAt[column];
      const base = current * columns;
      let least = Infinity;
      let next = -1;
      for (let j = 0; j < columns; j++) {
        if (done[j]) continue;
        const reduced = cost[base + j] - ofRow[current] - ofColumn[j];
        if (reduced < nearest[j]) {
          nearest[j] = reduced;
          before[j] = column;
        }
        if (nearest[j] < least) {
          least = nearest[j];
          next = j;
        }
      }
      for (let j = 0; j <= columns; j++) {
        if (done[j]) {
          ofRow[rowAt[j]] += least;
          ofColumn[j] -= least;
        } else nearest[j] -= least;
      }
      column = next;
    } while (rowAt[column] !== rows);
    while (column !== columns) {
      rowAt[column] = rowAt[before[column]];
      column = before[column];
    }
  }
  const result = new Int32Array(rows);
  for (let j = 0; j < columns; j++) if (rowAt[j] !== rows) result[rowAt[j]] = j;
  return result;
}

/**
 * Match the eigenvalues of two looks, and return for each of the later one the index of the earlier, or -1.
 *
 * Distances are those on a symmetric-logarithmic scale, beyond GATE all the same: so that one eigenvalue that left the
 * leading ones and another that came does not bend the trails of the rest. Neutral ones lie on one spot and have none.
 */
export function matchLooks(earlier, later, scale) {
  const [a, b] = [earlier, later].map((look) => movingPoints(look, scale));
  const result = new Int32Array(later.count).fill(-1);
  const [few, many] = a.index.length <= b.index.length ? [a, b] : [b, a];
  if (!few.index.length) return result;
  const [rows, columns] = [few.index.length, many.index.length];
  const cost = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const distance = (few.x[i] - many.x[j]) ** 2 + (few.y[i] - many.y[j]) ** 2;
      cost[i * columns + j] = Math.min(distance, GATE * GATE);
    }
  }
  assign(rows, columns, cost).forEach((j, i) => {
    if (cost[i * columns + j] >= GATE * GATE) return;
    if (few === a) result[b.index[j]] = a.index[i];
    else result[b.index[i]] = a.index[j];
  });
  return result;
}

function movingPoints(look, scale) {
  const index = [];
  for (let i = 0; i < look.count; i++) {
    const kind = classOf(look, i, 0);
    if (kind !== NEUTRAL && kind !== NOT_FINITE) index.push(i);
  }
  return {
    index,
    x: Float64Array.from(index, (i) => scale.forward(look.real[i])),
    y: Float64Array.from(index, (i) => (look.imag ? scale.forward(look.imag[i]) : 0)),
  };
}

/** The matches between neighbouring steps of a series, made when they are looked at and kept. */
export class Trails {
  constructor(looks, scale) {
    this.looks = looks;
    this.scale = scale;
    this.matches = new Map();
  }

  /** Return the match of a look with the one before it: undefined if it is not made yet, null if there is none. */
  match(index) {
    const [earlier, later] = [this.looks[index - 1], this.looks[index]];
    if (!earlier || Math.max(earlier.count, later.count) > MOST_MATCHED) return null;
    return this.matches.get(index);
  }

  /** Make the matches of the last `length` steps up to a look that are missing, until a time; return whether all are. */
  prepare(index, length, deadline) {
    for (let k = index; k > Math.max(0, index - length); k--) {
      if (this.match(k) !== undefined) continue;
      if (performance.now() > deadline) return false;
      this.matches.set(k, matchLooks(this.looks[k - 1], this.looks[k], this.scale));
    }
    return true;
  }

  /** Return the indices that an eigenvalue of a look had in the looks before, the nearest first. */
  chain(index, i, length) {
    const found = [];
    for (let k = index; k > Math.max(0, index - length) && i >= 0; k--) {
      const match = this.match(k);
      if (!match) break;
      i = match[i];
      if (i >= 0) found.push([k - 1, i]);
    }
    return found;
  }
}
