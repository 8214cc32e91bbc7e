// Where the view stands and gets its data: TensorBoard's tab, or a page with everything inside.

import { View } from "./app.js";
import { element } from "./controls.js";
import { diagnosisSection } from "./diagnosis.js";

/** Call the listener of each of TensorBoard's messages to a plugin; every message is answered. */
function listenToHost(listeners) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.isReply) return;
    listeners[message.type]?.();
    port1.postMessage(JSON.stringify({ ...message, payload: null, error: null, isReply: true }));
  };
  window.parent.postMessage("experimental.bootstrap", "*", [port2]);
}

const PARAMETER = "p.gantools.view";

/** Data from TensorBoard's routes, at addresses relative to the tab's. */
class TabSource {
  constructor() {
    this.live = true;
    const reload = () => this.whenReloaded?.();
    listenToHost({ "experimental.DataReloaded": reload, "experimental.RunsChanged": reload });
  }

  async get(route, names = {}) {
    const answer = await fetch(`./${route}?${new URLSearchParams(names)}`);
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
  }

  async catalog() {
    return (await this.get("catalog")).json();
  }

  async numbers({ run, key }) {
    return (await this.get("numbers", { run, key })).arrayBuffer();
  }

  async scalars({ run, tag }) {
    return (await this.get("scalars", { run, tag })).arrayBuffer();
  }

  async texts({ run, tag }) {
    return (await this.get("texts", { run, tag })).json();
  }

  async pictureSteps({ run, tag }) {
    return (await this.get("pictures", { run, tag })).json();
  }

  pictureUrl({ run, tag }, step) {
    return `./picture?${new URLSearchParams({ run, tag, step })}`;
  }

  recalled() {
    try {
      // Not by TensorBoard's GetURLPluginData, which in 2.21 knows nothing of the address.
      return new URLSearchParams(window.parent.location.hash.slice(1)).get(PARAMETER) ?? "";
    } catch {
      return ""; // a parent of another origin: a notebook behind a proxy
    }
  }

  remember() {} // TensorBoard owns the address; Link makes one

  link(text) {
    const { origin, pathname, search } = window.parent.location;
    return `${origin}${pathname}${search}#gantools&${PARAMETER}=${encodeURIComponent(text)}`;
  }

  dark() {
    try {
      return window.parent.document.body.classList.contains("dark-mode");
    } catch {
      return null;
    }
  }

  whenThemeChanges(call) {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", call);
    try {
      new MutationObserver(call).observe(window.parent.document.body, { attributeFilter: ["class"] });
    } catch {
      // the page's own preference decides
    }
  }
}

/** Data inside the page, as text of script elements that are not scripts. */
class PageSource {
  constructor(catalog) {
    this.live = false;
    this.inside = catalog;
    this.urls = new Map();
  }

  async catalog() {
    return this.inside;
  }

  bytes(number) {
    return Uint8Array.from(atob(document.getElementById(`blob-${number}`).textContent), (c) => c.charCodeAt(0));
  }

  async numbers({ blob }) {
    return this.bytes(blob).buffer;
  }

  scalars(entry) {
    return this.numbers(entry);
  }

  async texts({ blob }) {
    return JSON.parse(new TextDecoder().decode(this.bytes(blob)));
  }

  async pictureSteps({ steps }) {
    return steps;
  }

  pictureUrl({ steps, blobs }, step) {
    const number = blobs[steps.indexOf(step)];
    if (!this.urls.has(number)) this.urls.set(number, URL.createObjectURL(new Blob([this.bytes(number)])));
    return this.urls.get(number);
  }

  recalled() {
    return location.hash.slice(1);
  }

  remember(text) {
    try {
      history.replaceState(null, "", `#${text}`);
    } catch {
      // inside a notebook a page has no address
    }
  }

  link(text) {
    return `${location.href.split("#")[0]}#${text}`;
  }

  dark() {
    return null;
  }

  whenThemeChanges(call) {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", call);
  }
}

/** Fill TensorBoard's frame; TensorBoard calls this. */
export async function render() {
  document.head.append(element("link", { rel: "stylesheet", href: "./view.css" }));
  const source = new TabSource();
  const view = new View(document.body.appendChild(element("main")), source);
  source.whenReloaded = () => view.refresh();
  await view.start();
}

/** Fill a page that has its data inside. */
export async function renderPage() {
  const { catalog, title, facts, diagnosis, options } = JSON.parse(document.getElementById("about").textContent);
  const view = new View(document.body.appendChild(element("main")), new PageSource(catalog), options);
  if (!options.compact) {
    const lines = Object.entries(facts).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
    const sections = diagnosis ? [diagnosisSection(diagnosis)] : [];
    view.root.prepend(element("h1", {}, title), element("dl", { class: "facts" }, ...lines), ...sections);
  }
  addEventListener("hashchange", () => view.start());
  await view.start();
}
