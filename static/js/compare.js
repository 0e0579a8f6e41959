// The page that shows a list of units side by side: pictures, numbers, tuning curves and weights.
// The list is in the address; without one it is the list that the reader has collected.
"use strict";

const { units: UNITS } = document.currentScript.dataset; // path pattern of what is shown of a layer's units
const PLOT = { width: 120, height: 40 };

const shown = () => (location.hash ? listIn(location.hash) : collected());
const idsOf = ({ units }) => units.map(({ id }) => id).join();
const isOwn = (list) => idsOf(list) === idsOf(collected());
const field = (name) => document.querySelector(`.lister [name="${name}"]`);

function say(words) {
  document.querySelector(".lister [role=status]").textContent = words;
}

/* Show another list; where the reader's own was shown, it changes as well. */
async function change(list) {
  const wasOwn = isOwn(shown());
  history.replaceState(null, "", list.units.length ? hashOf(list) : "#units=");
  if (wasOwn) await keep(list);
  await show();
}

/* Make a list the reader's own; an address does not say which of its units have a picture. */
async function keep({ name, units }) {
  const [index] = await loadIndices();
  const ids = units.map(({ id }) => id).slice(0, MAX_UNITS);
  collect({ name, units: ids.map((id) => ({ id, pictured: known(index, id)?.isPictured ?? false })) });
}

/* What is known of units ---------------------------------------------------------------------- */

/* Of a unit in the index of the search: null if the atlas has no such unit. */
function known(index, id) {
  const [layer, number] = id.split(":");
  const place = index.layers.findIndex(([name]) => name === layer);
  const [, size = 0, paged, pictured] = index.layers[place] ?? [];
  const at = Number(number);
  if (at >= size) return null;
  const named = (index.names?.[place]?.[at] ?? 0) - 1;
  const label = layer === index.classifier ? index.labels[at] : "";
  return {
    layer,
    number: at,
    title: label || `Unit ${at}`,
    name: label || named < 0 ? "" : index.words[named].split("|")[0],
    hasPage: isIn(paged, at),
    isPictured: isIn(pictured, at),
  };
}

const numbers = new Map(); // by layer, of all its units

async function loadLayer(layer) {
  const [values] = await Promise.all([loadValues(layer), loadScript(new URL(pathOf(UNITS, layer), root))]);
  numbers.set(layer, values);
}

/* Cards --------------------------------------------------------------------------------------- */

function drawing(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* A unit's numbers by the names of their columns: { peak: "12.3 σ" }. */
function numbersOf({ columns, units }, unit) {
  const place = units.indexOf(unit);
  return Object.fromEntries(columns.map(({ name, unit: measure, values }) => [name, numberText(values[place], measure)]));
}

/* The first card explains the terms; the rows of the others are beside it. */
function numbersPart(columns, own, isFirst) {
  const rows = [...columns].map(([name, about]) => {
    const term = about && isFirst ? element("a", { href: new URL(`${pathSettings.about}#${about}`, root).href, textContent: name }) : name;
    return element("div", {}, element("dt", {}, term), element("dd", { textContent: own[name] ?? "–" }));
  });
  return element("dl", { className: "facts" }, ...rows);
}

function curve({ name, style, first, last }, heights, preferred, blank) {
  const step = heights.length > 1 ? PLOT.width / (heights.length - 1) : 0;
  const points = heights.map((height, nth) => `${Math.round(nth * step)},${height}`).join(" ");
  const plot = drawing("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, "aria-hidden": "true" }, drawing("path", { d: `M0 ${blank}h${PLOT.width}` }), drawing("polyline", { points }));
  const ends = element("p", {}, first, element("span", { textContent: last }));
  return element("figure", { className: style }, element("figcaption", { textContent: `${name}: ${preferred}` }), plot, ends);
}

function curvesPart({ curves }, { tuning }) {
  const part = element("section", {}, element("h3", { textContent: "Tuning" }));
  if (!tuning) return part.append(element("p", { textContent: "Not measured" })), part;
  const [range, blank, ...each] = tuning;
  const plots = curves.map((axis, nth) => curve(axis, each[nth][0].split(" ").map(Number), each[nth][1], blank));
  part.append(element("div", { className: "tuning" }, ...plots), element("p", { textContent: `All from ${range}` }));
  return part;
}

function weightsPart(id, { weights }) {
  const part = element("section", { className: "weights" }, element("h3", { textContent: "Weights" }));
  if (!weights) return part.append(element("p", { textContent: "No picture of them" })), part;
  const [src, viewBox, [width, height], isPixelated, caption, low, high] = weights;
  const [layer] = id.split(":");
  const image = drawing("image", { href: new URL(pathOf(pathSettings.layer, layer).replace(/[^/]*$/, () => src), root).href, width, height });
  const picture = drawing("svg", { viewBox, role: "img", "aria-label": `Weights of ${id}`, class: isPixelated ? "pixels" : "" }, image);
  part.append(element("figure", {}, picture));
  if (low) part.append(element("p", { className: "ramp" }, low, element("i"), high));
  part.append(element("p", { textContent: caption }));
  return part;
}

function removeButton(id) {
  const button = element("button", { type: "button", textContent: "Remove" });
  button.setAttribute("aria-label", `Remove ${id}`);
  button.addEventListener("click", async () => {
    const list = shown();
    await change({ ...list, units: list.units.filter((each) => each.id !== id) });
    say(`${id} is removed.`);
  });
  return button;
}

function unknownCard(id) {
  const blank = element("span", { className: "blank" });
  return element("li", {}, blank, element("h2", { textContent: id }), element("p", { textContent: "Not in this atlas" }), element("p", {}, removeButton(id)));
}

function card(id, unit, columns, isFirst) {
  if (!unit) return unknownCard(id);
  const { layer, title, name, hasPage, isPictured } = unit;
  const { page } = unitPaths(id);
  const image = pictureOf(id, isPictured, { alt: `Synthetic picture that excites ${id}` });
  const data = self.atlasUnits[layer];
  const own = data.units[unit.number];
  const link = hasPage ? element("a", { href: page, textContent: title }) : title;
  const parts = own
    ? [numbersPart(columns, numbersOf(numbers.get(layer), unit.number), isFirst), curvesPart(data, own), weightsPart(id, own)]
    : [element("p", { textContent: "Not rendered yet" })];
  const place = element("p", {}, name ? `“${name}”, ` : "", id);
  return element("li", {}, hasPage ? element("a", { href: page }, image) : image, element("h2", {}, link), place, element("p", {}, removeButton(id)), ...parts);
}

/* By the names of all numbers that the units have, their entries of the glossary; in the order of their layers' pages. */
function columnsOf(layers) {
  return new Map(layers.flatMap((layer) => numbers.get(layer).columns.map(({ name, about }) => [name, about])));
}

/* The page ------------------------------------------------------------------------------------ */

async function show() {
  const { hash } = location;
  const list = shown();
  const ids = list.units.map(({ id }) => id).slice(0, MAX_UNITS);
  showHead(list);
  if (!ids.length) return document.querySelector(".compared").replaceChildren();
  const [index] = await loadIndices();
  const units = ids.map((id) => known(index, id));
  const layers = [...new Set(units.filter(Boolean).map(({ layer }) => layer))];
  await Promise.all(layers.map(loadLayer));
  if (hash !== location.hash) return undefined; // another list has been asked for meanwhile
  const columns = columnsOf(layers);
  document.querySelector(".compared").style.setProperty("--numbers", columns.size || 1);
  return document.querySelector(".compared").replaceChildren(...ids.map((id, nth) => card(id, units[nth], columns, !nth)));
}

function showHead(list) {
  const n = list.units.length;
  document.querySelector("h1").textContent = list.name || "Compare";
  document.title = document.title.replace(/^.*(?= · )/, () => list.name || "Compare");
  document.querySelector(".empty").hidden = n > 0;
  field("name").value = list.name;
  field("clear").hidden = field("link").hidden = !n;
  field("keep").hidden = !n || isOwn(list);
  const over = n > MAX_UNITS ? ` of ${n}: only the first ${MAX_UNITS} are shown` : ` of at most ${MAX_UNITS} units`;
  document.querySelector(".lister output").textContent = `${Math.min(n, MAX_UNITS)}${over}${n === MAX_UNITS ? "; the list is full" : ""}`;
}

async function add(text) {
  const list = shown();
  const id = text.trim().replace(/\s*[:\s]\s*0*(\d)/, ":$1");
  const [index] = await loadIndices();
  const unit = isUnit(id) ? known(index, id) : null;
  if (!unit) return say(`This atlas has no unit “${text.trim()}”. Units are written like ${index.layers[0][0]}:0.`);
  if (list.units.some((each) => each.id === id)) return say(`${id} is in the list already.`);
  if (list.units.length >= MAX_UNITS) return say(`The list is full with ${MAX_UNITS} units; remove one first.`);
  await change({ ...list, units: [...list.units, { id }] });
  field("unit").value = "";
  return say(`${id} is added.`);
}

function addListeners() {
  const form = document.querySelector(".lister");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field("unit").value.trim()) add(field("unit").value);
  });
  field("name").addEventListener("change", ({ target }) => change({ ...shown(), name: target.value.trim().slice(0, MAX_NAME) }));
  field("clear").addEventListener("click", async () => {
    await change({ name: "", units: [] });
    say("The list is empty now.");
  });
  field("keep").addEventListener("click", async () => {
    await keep(shown());
    showHead(shown());
    say("This is your list now; “Compare” on a unit’s page adds to it.");
  });
  field("link").addEventListener("click", ({ target }) => {
    const address = listLink(shown());
    copyText(target, address, () => prompt("The address of this list:", address));
  });
}

addEventListener("DOMContentLoaded", () => {
  const own = collected();
  if (!location.hash && own.units.length) history.replaceState(null, "", hashOf(own));
  addListeners();
  show();
  addEventListener("hashchange", () => {
    say("");
    show();
  });
});
