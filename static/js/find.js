// The page on which units of all layers are found. What is asked for is in the address. The index of all
// units is loaded on this page alone.
"use strict";

const findSettings = document.currentScript.dataset; // where the index is, how sheets of pictures are called
const UNITS_PER_PAGE = 200;
const NETWORK = "network", ANSWER = "answer"; // orders: layer by layer, and by what units answer to the stimulus

/* Index ------------------------------------------------------------------------------------- */

// The characters that stand for codes, in the order of their codes: these of ASCII, and then all from another.
const ASCII_FROM = 35, BACKSLASH = 92, ASCII_TO = 126, OTHERS_FROM = 0xa1;

function codeOf(point) {
  if (point < BACKSLASH) return point - ASCII_FROM;
  if (point <= ASCII_TO) return point - ASCII_FROM - 1;
  return point - OTHERS_FROM + ASCII_TO - ASCII_FROM;
}

/* The codes of all rows, from a character for each; 0 means that there is no value. */
const codesOf = (text) => Uint16Array.from({ length: text.length }, (_, row) => codeOf(text.charCodeAt(row)));

class FindIndex {
  constructor({ layers, numbers, texts, stimuli }) {
    this.stimuli = stimuli;
    this.layers = [];
    let first = 0;
    for (const [name, runs, sheets] of layers) {
      const nUnits = runs.reduce((sum, [from, to]) => sum + to - from + 1, 0);
      this.layers.push({ name, runs, sheets, first, end: (first += nUnits) });
    }
    this.nRows = first;
    this.layerOf = new Uint16Array(first);
    this.unitOf = new Uint32Array(first);
    this.layers.forEach((layer, nth) => this.number(layer, nth));
    const made = (column, isText) => ({ ...column, isText, codes: codesOf(column.codes) });
    this.columns = new Map([...numbers.map((each) => made(each, false)), ...texts.map((each) => made(each, true))].map((column) => [column.name, column]));
    this.title = [...this.columns.values()].find((column) => column.is_title);
  }

  number({ runs, first, end }, nth) {
    this.layerOf.fill(nth, first, end);
    let row = first;
    for (const [from, to] of runs) for (let unit = from; unit <= to; unit++) this.unitOf[row++] = unit;
  }

  /* The value of a row: undefined where there is none. */
  value(column, row) {
    return column?.values[column.codes[row] - 1];
  }

  /* The column with a field of the stimuli; logits of classes have no common scale with σ, so they are left out. */
  measured(field) {
    const columns = [...this.columns.values()].filter((column) => column.field === field);
    return columns.find((column) => column.unit === "σ") ?? columns[0];
  }
}

/* What is asked for ------------------------------------------------------------------------- */

const foldedText = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function rangeOf(text) {
  const [low = "", high = low] = text.split("..");
  return [low, high];
}

/* Whether a value is in a range. Angles are counted round, so a range may run past the full turn. */
function isBetween(text, turn) {
  let [low, high] = rangeOf(text).map((end, nth) => (end === "" ? [-Infinity, Infinity][nth] : Number(end)));
  if (turn && high - low >= turn) return () => true;
  if (turn) [low, high] = [low, high].map((end) => (Number.isFinite(end) ? ((end % turn) + turn) % turn : end));
  return turn && low > high ? (value) => value >= low || value <= high : (value) => low <= value && value <= high;
}

/* By code, whether it is asked for; 0, where there is no value, never is. */
function maskOf(column, isWanted) {
  const mask = new Uint8Array(column.values.length + 1);
  column.values.forEach((value, nth) => (mask[nth + 1] = isWanted(value) ? 1 : 0));
  return mask;
}

function* conditionsOf(index, asked) {
  for (const column of index.columns.values()) {
    const text = asked.get(column.name);
    if (!text) continue;
    const typed = foldedText(text);
    yield { column, mask: maskOf(column, column.isText ? (value) => foldedText(value).includes(typed) : isBetween(text, column.turn)) };
  }
  for (const { dials } of index.stimuli ? Object.values(STIMULI) : []) {
    for (const [dial, field] of Object.entries(dials)) {
      const column = index.measured(field);
      if (asked.has(dial) && column) yield { column, mask: maskOf(column, preferring(dial, Number(asked.get(dial)), index.stimuli)) };
    }
  }
}

/* Tuned response: how far the best such stimulus drives a unit above the bare background, times its selectivity
   where an angle is asked for. Of several stimuli the weakest counts. */
const answerTo = (index, parts) => (row) =>
  Math.min(...parts.map(({ rise, selectivity }) => index.value(rise, row) * (selectivity ? index.value(selectivity, row) : 1)));

/* The columns that tuned responses to what is asked for are computed from. */
const answerParts = (index, asked) =>
  Object.values(STIMULI)
    .filter(({ dials }) => Object.keys(dials).some((dial) => asked.has(dial)))
    .map(({ rise, selectivity, angle }) => ({ rise: index.measured(rise), selectivity: asked.has(angle) ? index.measured(selectivity) : null }));

const asksForStimulus = (asked) => [...asked.keys()].some((key) => key.startsWith("ask-"));
const usualOrder = (asked) => (asksForStimulus(asked) ? ANSWER : NETWORK);
const orderAsked = (asked) => asked.get("sort") ?? usualOrder(asked);

/* The rows of the chosen layers, from the first to the one after the last. */
function rowsAsked(index, asked) {
  const names = index.layers.map(({ name }) => name);
  const [from, to] = rangeOf(asked.get("layers") ?? "").map((name) => names.indexOf(name));
  const [first, last] = [from < 0 ? 0 : from, to < 0 ? names.length - 1 : to].sort((a, b) => a - b);
  return [index.layers[first]?.first ?? 0, index.layers[last]?.end ?? 0];
}

/* The rows that are found, in order; how many units lack what was asked for; and the number to show beside each. */
function findUnits(index, asked) {
  const [first, end] = rowsAsked(index, asked);
  const conditions = [...conditionsOf(index, asked)];
  const sort = orderAsked(asked), column = index.columns.get(sort);
  const parts = sort === ANSWER && index.stimuli ? answerParts(index, asked) : [];
  for (const { rise } of parts) conditions.push({ column: rise, mask: null });
  let rows = [];
  const lacking = new Map();
  for (let row = first; row < end; row++) {
    let isFound = true;
    for (const { column: { name, codes }, mask } of conditions) {
      const code = codes[row];
      if (!code) lacking.set(name, (lacking.get(name) ?? 0) + 1);
      if (!code || (mask && !mask[code])) isFound = false;
    }
    if (isFound) rows.push(row);
  }
  const valueOf = parts.length ? answerTo(index, parts) : column ? (row) => index.value(column, row) : null;
  if (valueOf) rows = sortedRows(rows, valueOf, asked.get("order") === "up" ? 1 : -1);
  return { rows, nAll: end - first, lacking, valueOf, unit: parts.length ? parts[0].rise.unit : column?.unit ?? "" };
}

/* Rows without a value come last in either direction; equal ones stay in the order of the network. Grouping rows
   by their values, of which there are few, is ten times as quick as comparing rows. */
function sortedRows(rows, valueOf, sign) {
  const groups = Map.groupBy(rows, valueOf);
  const without = groups.get(undefined) ?? [];
  groups.delete(undefined);
  const values = Float64Array.from(groups.keys()).sort();
  if (sign < 0) values.reverse();
  return [...values].flatMap((value) => groups.get(value)).concat(without);
}

/* Results ----------------------------------------------------------------------------------- */

const countedUnits = (n) => `${n.toLocaleString("en")} ${n === 1 ? "unit" : "units"}`;

/* Text that may be broken after dots and colons. */
const breakableText = (text) => text.split(/(?<=[.:])/).flatMap((part) => [element("wbr"), part]).slice(1);

function unitCard(index, row, note) {
  const layer = index.layers[index.layerOf[row]], unit = index.unitOf[row];
  const title = index.value(index.title, row);
  const link = element("a", { href: new URL(pathOf(pathSettings.page, layer.name, unit), root).href }, unitPicture(layer, unit), element("b", {}, ...breakableText(`${layer.name}:${unit}`)));
  if (note) link.append(" ", element("i", { textContent: note }));
  if (title) link.append(" ", element("span", { className: "called", textContent: title }));
  return element("li", {}, link);
}

/* A picture out of its layer's sheets, which is fetched when it comes near the screen. */
function unitPicture(layer, unit) {
  const cell = element("span", { className: "cell" });
  const [stem, columns, ratio, words, pictured] = layer.sheets ?? [];
  if (!pictured || !isIn(pictured, unit)) return cell;
  const place = unit % columns ** 2;
  const number = String(Math.floor(unit / columns ** 2)).padStart(Number(findSettings.digits), "0");
  const sheet = findSettings.sheet.replace("{stem}", stem).replace("{number}", number);
  const image = element("img", { alt: `${words} unit ${unit} of ${layer.name}`, className: `x${place % columns} y${Math.floor(place / columns)}` });
  image.dataset.src = new URL(pathOf(pathSettings.layer, layer.name).replace(/[^/]*$/, sheet), root).href;
  near.observe(image);
  cell.style.setProperty("--columns", columns);
  cell.style.setProperty("--ratio", ratio);
  cell.append(image);
  return cell;
}

function pageLink(asked, page, rel, text) {
  const other = new URLSearchParams(asked);
  if (page > 1) other.set("page", page);
  else other.delete("page");
  return element("a", { href: `#${other}`, rel, textContent: text });
}

class FoundUnits {
  constructor(section) {
    this.status = section.querySelector("[role=status]");
    this.notes = section.querySelector(".notes");
    this.list = section.querySelector(".units");
    this.pager = section.querySelector(".pager");
  }

  show(index, asked, { rows, nAll, lacking, valueOf, unit }) {
    const nPages = Math.max(1, Math.ceil(rows.length / UNITS_PER_PAGE));
    const page = Math.min(nPages, Math.max(1, Math.trunc(Number(asked.get("page"))) || 1));
    const first = (page - 1) * UNITS_PER_PAGE;
    const shown = rows.slice(first, first + UNITS_PER_PAGE);
    this.status.textContent = rows.length === nAll ? countedUnits(nAll) : `${rows.length.toLocaleString("en")} of ${countedUnits(nAll)}`;
    this.notes.replaceChildren(...this.left(index, lacking));
    this.list.start = first + 1;
    this.list.replaceChildren(...shown.map((row) => unitCard(index, row, valueOf && numberText(valueOf(row), unit))));
    const counted = element("span", { textContent: `${(first + 1).toLocaleString("en")}–${(first + shown.length).toLocaleString("en")}` });
    const links = [page > 1 && pageLink(asked, page - 1, "prev", "before"), counted, page < nPages && pageLink(asked, page + 1, "next", "after")];
    this.pager.replaceChildren(...(nPages > 1 ? links.filter(Boolean) : []));
  }

  /* Who is left out because it was not measured, or answers to none of what it was shown. */
  left(index, lacking) {
    return [...lacking]
      .filter(([name]) => !index.columns.get(name).is_partial)
      .map(([name, n]) => element("li", { textContent: `${countedUnits(n)} ${n === 1 ? "has" : "have"} no ${index.columns.get(name).isText ? "" : "measured "}${name} and ${n === 1 ? "is" : "are"} left out.` }));
  }
}

/* Form -------------------------------------------------------------------------------------- */

class FindForm {
  constructor(finder, index) {
    this.finder = finder;
    this.stimuli = index.stimuli;
    this.dials = [...finder.querySelectorAll("[data-dial]")].map((box) => new Dial(box));
    for (const input of finder.querySelectorAll("[data-text] input")) {
      const { values } = index.columns.get(input.closest("[data-text]").dataset.text);
      input.addEventListener("focus", () => input.list.children.length || input.list.append(...values.toSorted().map((value) => element("option", { value }))));
    }
  }

  /* By key: how its value is read from the controls, and put into them. */
  *fields() {
    for (const box of this.finder.querySelectorAll("[data-range]")) {
      const ends = [...box.querySelectorAll("input, select")];
      const defaults = ends.map((end, nth) => (end.options ? end.options[nth ? end.options.length - 1 : 0].value : ""));
      yield {
        key: box.dataset.range,
        get: () => (ends.some((end, nth) => end.value !== defaults[nth]) ? ends.map((end) => end.value).join("..") : ""),
        set: (text) => rangeOf(text || "").forEach((value, nth) => (ends[nth].value = value || defaults[nth])),
      };
    }
    for (const box of this.finder.querySelectorAll("[data-mark]")) {
      const input = box.querySelector("input");
      yield { key: box.dataset.mark, get: () => (input.checked ? "1.." : ""), set: (text) => (input.checked = Boolean(text)) };
    }
    for (const box of this.finder.querySelectorAll("[data-text]")) {
      const input = box.querySelector("input");
      yield { key: box.dataset.text, get: () => input.value.trim(), set: (text) => (input.value = text ?? "") };
    }
    for (const dial of this.dials) yield dial;
    for (const select of this.finder.querySelectorAll("[data-key]")) {
      yield { key: select.dataset.key, get: () => select.value, set: (text) => (select.value = text ?? "") };
    }
  }

  /* What the controls ask for. */
  read(wasAsked) {
    const asked = new URLSearchParams();
    for (const field of this.fields()) if (field.get()) asked.set(field.key, field.get());
    // The usual order is not asked for: it changes when the first dial is turned, or the last one turned off.
    if ([usualOrder(wasAsked), usualOrder(asked)].includes(asked.get("sort"))) asked.delete("sort");
    return asked;
  }

  fill(asked) {
    for (const field of this.fields()) field.set(asked.get(field.key));
    this.settle(asked);
  }

  /* What follows from what is asked for. Fields that somebody may be typing in are left alone. */
  settle(asked) {
    this.finder.querySelector("[data-key=sort]").value = orderAsked(asked);
    this.finder.querySelector(`[value=${ANSWER}]`)?.toggleAttribute("disabled", !asksForStimulus(asked));
    this.draw();
  }

  draw() {
    if (!this.stimuli) return;
    for (const box of this.finder.querySelectorAll("[data-stimulus]")) {
      const dials = this.dials.filter((dial) => box.contains(dial.box));
      const canvas = box.querySelector("canvas");
      const values = Object.fromEntries(dials.map((dial) => [dial.key, dial.value]));
      const drawn = JSON.stringify(values);
      box.classList.toggle("asked", dials.some((dial) => dial.get()));
      if (canvas.dataset.drawn === drawn) continue;
      drawStimulus(canvas, box.dataset.stimulus, values, this.stimuli);
      canvas.dataset.drawn = drawn;
      canvas.setAttribute("aria-label", `${box.querySelector("legend").textContent}: ${dials.map((dial) => `${dial.name} ${dial.words}`).join(", ")}`);
    }
  }
}

/* One number of a stimulus: a slider and a field that agree, and a box that says whether it counts. */
class Dial {
  constructor(box) {
    this.box = box;
    this.key = box.dataset.dial;
    this.names = box.dataset.words.split("|").filter(Boolean);
    [this.toggle, this.slider, this.field] = box.querySelectorAll("input");
    this.name = this.toggle.labels[0].textContent.trim();
    this.start = this.slider.value;
    for (const [moved, other] of [[this.slider, this.field], [this.field, this.slider]]) {
      moved.addEventListener("input", () => {
        other.value = moved.value;
        this.toggle.checked = moved.value !== "";
        this.say();
      });
    }
    this.field.addEventListener("change", () => (this.field.value = this.slider.value)); // within its limits
    this.toggle.addEventListener("input", () => this.say());
  }

  get value() {
    return Number(this.slider.value);
  }

  /* "45°, rising diagonals" */
  get words() {
    const turn = Number(this.box.dataset.turn), { unit } = this.box.dataset;
    if (!this.names.length) return `${this.value} ${unit}`;
    return `${this.value}${unit}, ${this.names[Math.round((this.value / turn) * this.names.length) % this.names.length]}`;
  }

  get() {
    return this.toggle.checked ? String(this.value) : "";
  }

  set(text) {
    this.toggle.checked = Boolean(text);
    this.slider.value = text ?? (this.slider.value || this.start);
    this.field.value = this.slider.value;
    this.say();
  }

  say() {
    this.slider.setAttribute("aria-valuetext", this.words);
    this.box.querySelector("output").textContent = this.toggle.checked ? this.words : "any";
  }
}

/* The address is the state: controls write it, and whatever changes it is shown. */
class Finder {
  constructor(finder, index) {
    this.index = index;
    this.form = new FindForm(finder, index);
    this.found = new FoundUnits(finder.querySelector(".hits"));
    this.presets = finder.querySelectorAll(".presets a");
    this.asked = this.fromAddress();
    finder.addEventListener("input", () => this.ask());
    finder.addEventListener("change", () => this.keep());
    finder.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("popstate", () => this.follow());
    this.form.fill(this.asked);
    this.show();
  }

  fromAddress() {
    return new URLSearchParams(location.hash.slice(1));
  }

  /* The controls have changed: show at once what they ask for. */
  ask() {
    this.asked = this.form.read(this.asked);
    this.form.settle(this.asked);
    this.show();
  }

  /* A change is complete, so it becomes an entry of the browser's history. */
  keep() {
    const hash = this.asked.size ? `#${this.asked}` : location.pathname + location.search;
    if (this.asked.toString() !== this.fromAddress().toString()) history.pushState(null, "", hash);
  }

  /* A link, or back and forward. Other fragments, such as that of the skip link, ask for nothing. */
  follow() {
    if (location.hash && !location.hash.includes("=")) return;
    const page = this.asked.get("page");
    this.asked = this.fromAddress();
    this.form.fill(this.asked);
    this.show();
    if (this.asked.get("page") !== page) this.found.status.scrollIntoView({ block: "start" });
  }

  show() {
    this.found.show(this.index, this.asked, findUnits(this.index, this.asked));
    for (const link of this.presets) {
      if (link.hash.slice(1) === this.asked.toString()) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}

/* What to find is beside what is found, or folded above it on a narrow screen. */
function foldWhereNarrow(details) {
  const narrow = matchMedia("(max-width: 56rem)");
  const fold = () => (details.open = !narrow.matches);
  narrow.addEventListener("change", fold);
  fold();
}

addEventListener("DOMContentLoaded", async () => {
  const finder = document.querySelector(".finder");
  foldWhereNarrow(finder.querySelector(".asking"));
  try {
    await loadScript(new URL(findSettings.units, root));
  } catch {
    finder.querySelector("[role=status]").textContent = "The list of units could not be loaded; load the page again.";
    return;
  }
  new Finder(finder, new FindIndex(self.atlasUnits));
});
