// Pointer and keyboard on a panel: pan, zoom, and the eigenvalue under the pointer.

import { CLASSES, classOf, complexText, short, stepFactor } from "./numbers.js";

const REACH = 14; // pixels

/** Return the eigenvalue nearest to a pixel as {layer, i}, or null if none is near. */
export function nearest(places, x, y, reach = REACH) {
  let best = null;
  let least = reach * reach;
  places.forEach(({ places: points }, layer) => {
    for (let i = 0; 2 * i < points.length; i++) {
      const distance = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
      if (distance < least) [best, least] = [{ layer, i }, distance];
    }
  });
  return best;
}

/** Return a window zoomed around a point that stays where it is. */
export function zoomed({ x0, x1, y0, y1 }, [u, v], factor) {
  return { x0: u + (x0 - u) * factor, x1: u + (x1 - u) * factor, y0: v + (y0 - v) * factor, y1: v + (y1 - v) * factor };
}

/** Return a window moved by a part of its size. */
export function panned({ x0, x1, y0, y1 }, across, up) {
  const [dx, dy] = [(x1 - x0) * across, (y1 - y0) * up];
  return { x0: x0 + dx, x1: x1 + dx, y0: y0 + dy, y1: y1 + dy };
}

/** Return names and values of an eigenvalue: what the tooltip and the table show. */
export function detailsOf(series, look, i, lr) {
  const im = look.imag ? look.imag[i] : null;
  const map = look.operator === "map";
  const rows = [["λ", complexText(look.real[i], im)]];
  if (im !== null) rows.push(["|λ|", short(Math.hypot(look.real[i], im))]);
  if (map || lr > 0) rows.push([map ? "rate |λ| a step" : `rate |1 − lr λ|`, short(stepFactor(look, i, lr), 7)]);
  if (look.residual) rows.push(["residual", short(look.residual[i], 2)]);
  if (look.error) rows.push(["error at most", short(look.error[i], 2)]);
  rows.push(["", CLASSES[classOf(look, i, lr)] + (look.converged[i] ? "" : ", not converged")]);
  const shares = Object.entries(look.shares).map(([part, share]) => `${part} ${Math.round(100 * share[i])} %`);
  if (shares.length) rows.push(["share of", shares.join(", ")]);
  return rows;
}

/**
 * Listen to the pointer and the keys on a panel's canvas.
 *
 * @param canvas the element
 * @param panel {drawn: () => what drawPlane returned, window, setWindow(window), choose(chosen, event), step(by)}
 */
export function listen(canvas, panel) {
  let drag = null;
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { from: point(event), window: panel.drawn().geometry.window, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = point(event);
    const { geometry, places } = panel.drawn();
    if (!drag) return panel.choose(nearest(places, x, y), event);
    const [dx, dy] = [(drag.from[0] - x) / geometry.width, (y - drag.from[1]) / geometry.height];
    if (Math.hypot(x - drag.from[0], y - drag.from[1]) > 3) drag.moved = true;
    if (drag.moved) panel.setWindow(panned(drag.window, dx, dy));
    return undefined;
  });
  const release = () => (drag = null);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", (event) => !drag && panel.choose(null, event));
  canvas.addEventListener("dblclick", () => panel.setWindow(null));
  canvas.addEventListener(
    "wheel",
    (event) => {
      // Alone the wheel scrolls the page, as a reader expects.
      if (!event.ctrlKey && !event.shiftKey && document.activeElement !== canvas) return;
      event.preventDefault();
      const { geometry } = panel.drawn();
      const amount = event.deltaY || event.deltaX;
      panel.setWindow(zoomed(geometry.window, geometry.fromPixels(...point(event)), 2 ** (amount / 300)));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => onKey(event, panel));
}

function onKey(event, panel) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { geometry, places } = panel.drawn();
  const { window } = geometry;
  const middle = [(window.x0 + window.x1) / 2, (window.y0 + window.y1) / 2];
  const moves = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
  const actions = {
    "+": () => panel.setWindow(zoomed(window, middle, 0.8)),
    "=": () => panel.setWindow(zoomed(window, middle, 0.8)),
    "-": () => panel.setWindow(zoomed(window, middle, 1.25)),
    0: () => panel.setWindow(null),
    n: () => panel.chooseNext(places, 1),
    p: () => panel.chooseNext(places, -1),
    Escape: () => panel.choose(null, event),
  };
  const move = moves[event.key];
  const action = move ? () => panel.setWindow(panned(window, ...move)) : actions[event.key];
  if (!action) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}
