// What the viewer has chosen, as text in an address and back; and the colours of the theme.

const DEFAULTS = {
  view: "plane", // plane, density, index, path
  tag: "",
  runs: [], // empty: all, up to SHOWN_AT_FIRST
  step: null, // null: the last
  layout: "side", // side, over
  scale: "symlog", // symlog, linear, circle
  region: "half", // half, disc, none
  lr: 0, // 0: what the log says, or as large as the largest eigenvalue allows
  trail: 10, // steps
  measure: "smallest",
  scalars: null, // tags; null: a few
  picture: "", // a tag, or "none"
  theme: "auto", // auto, light, dark
  window: null, // of the plane, in scaled coordinates
};
const CHOICES = {
  view: ["plane", "density", "index", "path"],
  layout: ["side", "over"],
  scale: ["symlog", "linear", "circle"],
  region: ["half", "disc", "none"],
  theme: ["auto", "light", "dark"],
};
export const SHOWN_AT_FIRST = 4;

export const initialState = () => ({ ...DEFAULTS, runs: [] });

/** Return what differs from the defaults, as the text of a query. */
export function stateText(state) {
  const text = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = state[name];
    if (name === "runs") value.forEach((run) => text.append("run", run));
    else if (name === "scalars") (value?.length ? value : value && [""])?.forEach((tag) => text.append("scalar", tag));
    else if (name === "window" && value) text.set(name, [value.x0, value.x1, value.y0, value.y1].map((x) => x.toPrecision(6)).join(","));
    else if (value !== usual) text.set(name, String(value));
  }
  return text.toString();
}

/** Return the state of such a text; whatever in it cannot be understood is left at its default. */
export function stateOf(text) {
  const given = new URLSearchParams(text);
  const state = initialState();
  for (const name of ["tag", "measure", "picture"]) state[name] = given.get(name) ?? DEFAULTS[name];
  for (const [name, choices] of Object.entries(CHOICES)) if (choices.includes(given.get(name))) state[name] = given.get(name);
  for (const name of ["step", "lr", "trail"]) {
    const value = Number(given.get(name) ?? NaN);
    if (Number.isFinite(value) && value >= 0) state[name] = value;
  }
  state.runs = given.getAll("run");
  if (given.has("scalar")) state.scalars = given.getAll("scalar").filter(Boolean);
  const corners = (given.get("window") ?? "").split(",").map(Number);
  if (corners.length === 4 && corners.every(Number.isFinite) && corners[0] < corners[1] && corners[2] < corners[3]) {
    const [x0, x1, y0, y1] = corners;
    state.window = { x0, x1, y0, y1 };
  }
  return state;
}

const COLOURS = ["background", "panel", "text", "faint", "grid", "axis", "attracts", "repels", "neutral", "undecided", "trail"];
export const RUN_COLOURS = 8;

/** Return the colours of the theme that an element has. */
export function inkOf(element) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const ink = Object.fromEntries(COLOURS.map((name) => [name, colour(name)]));
  return { ...ink, runs: Array.from({ length: RUN_COLOURS }, (_, k) => colour(`run-${k}`)) };
}
