// Lists of units: the one that a reader collects across pages, and those in addresses, which anybody can open.
// A list is { name, units }, its units { id, pictured }; `pictured` means that there is an excitatory picture.
"use strict";

const LIST_KEY = `atlas-compare ${root.pathname}`; // other atlases may share the host
const MAX_UNITS = 24;
const MAX_NAME = 80;

const isUnit = (id) => /^[^:,/\\\s]+:\d{1,9}$/.test(id);

/* The list that the reader has collected. */
function collected() {
  try {
    const stored = JSON.parse(localStorage.getItem(LIST_KEY)) ?? [];
    const { name = "", units } = Array.isArray(stored) ? { units: stored } : stored; // a bare list of earlier versions
    const known = units.map((unit) => (typeof unit === "string" ? { id: unit, pictured: true } : unit));
    return { name: String(name), units: known.filter(({ id }) => isUnit(id)) };
  } catch {
    return { name: "", units: [] }; // storage is switched off, or was written by something else
  }
}

function collect(list) {
  try {
    localStorage.setItem(LIST_KEY, JSON.stringify(list));
  } catch {
    // Storage may be switched off; addresses of lists still work.
  }
  showTray();
  dispatchEvent(new Event("collected")); // this window hears nothing of its own storage
}

/* Addresses: compare.html#layer1.0.conv2:2,fc:1 or compare.html#name=curves&units=layer1.0.conv2:2,fc:1 */

function hashOf({ name, units }) {
  const ids = units.map(({ id }) => encodeURIComponent(id).replace("%3A", ":")).join(",");
  return name ? `#name=${encodeURIComponent(name)}&units=${ids}` : `#${ids}`;
}

function listIn(hash) {
  const text = hash.slice(1);
  const given = new URLSearchParams(/(^|&)units=/.test(text) ? text : `units=${text}`);
  const ids = given.get("units").split(",").filter(isUnit);
  return { name: (given.get("name") ?? "").trim().slice(0, MAX_NAME), units: [...new Set(ids)].map((id) => ({ id })) };
}

const listLink = (list) => new URL(pathSettings.compare + hashOf(list), root).href;

function unitPaths(id) {
  const [layer, index] = id.split(":");
  const href = (pattern) => new URL(pathOf(pattern, layer, index), root).href;
  return { page: href(pathSettings.page), picture: href(pathSettings.picture) };
}

function pictureOf(id, pictured, properties) {
  if (!pictured) return element("span", { className: "blank", title: `${id} has no picture yet` });
  return element("img", { src: unitPaths(id).picture, ...properties });
}

/* The tray of collected units, on every page while there are any; `words` say why a unit was not added */

function showTray(words = "") {
  document.querySelector(".tray")?.remove();
  const list = collected();
  const n = list.units.length;
  if (!n || document.querySelector("main.compare")) return;
  const pictures = list.units.map(({ id, pictured }) => pictureOf(id, pictured, { alt: id, width: 40, height: 40 }));
  const clear = element("button", { type: "button", textContent: "Clear" });
  clear.addEventListener("click", () => collect({ name: "", units: [] }));
  const link = element("a", { href: listLink(list), textContent: `Compare ${n}${n >= MAX_UNITS ? ", full" : ""}` });
  const tray = element("aside", { className: "tray" }, element("div", {}, ...pictures), link, clear);
  tray.setAttribute("aria-label", "Units to compare");
  if (words) {
    const said = element("p", { textContent: words });
    said.setAttribute("role", "alert");
    tray.prepend(said);
  }
  document.body.append(tray);
}

/* Copying */

/* Copy a text and say so on the button; without a clipboard, `fall` is called. */
function copyText(button, text, fall) {
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  const copying = navigator.clipboard?.writeText(text) ?? Promise.reject();
  copying.then(() => {
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  }, fall);
}

addEventListener("DOMContentLoaded", () => showTray());
addEventListener("storage", () => showTray());
addEventListener("pageshow", (event) => event.persisted && showTray());
