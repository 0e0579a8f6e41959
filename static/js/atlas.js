// Search, keys, theme and what other scripts share. The pages can be read without this script.
"use strict";

const root = new URL("../..", document.currentScript.src);
const PATHS = {}; // a build fills in the path patterns of pages and pictures
const pathSettings = { ...PATHS, ...document.currentScript.dataset };

/* The path of a page or picture, from a pattern such as "{layer}/{unit}.html". */
function pathOf(pattern, layer, index = 0) {
  const unit = String(index).padStart(Number(pathSettings.digits), "0");
  return pattern.replace("{layer}", () => layer).replace("{unit}", () => unit);
}

/* Whether an index is in one of several runs, each [first, last]. */
const isIn = (runs, index) => runs.some(([first, last]) => first <= index && index <= last);

/* A number with its unit of measurement, such as "−1.25 σ"; a dash for none. */
function numberText(value, unit) {
  if (value === null || value === undefined) return "–";
  const text = String(Number(value.toPrecision(3))).replace("-", "−");
  return unit === "°" ? text + unit : `${text} ${unit}`.trim();
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/* Theme ------------------------------------------------------------------------------------- */

// Runs before the page is drawn, so that the other theme never flashes.
try {
  const theme = localStorage.getItem("atlas-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be switched off; then the system's theme is used.
}

const THEMES = ["system", "light", "dark"];

function addThemeSwitch() {
  const html = document.documentElement;
  const button = element("button", { type: "button", className: "theme" });
  const show = () => {
    const theme = html.dataset.theme ?? "system";
    button.textContent = theme;
    button.setAttribute("aria-label", `Theme: ${theme}`);
  };
  button.addEventListener("click", () => {
    const now = THEMES.indexOf(html.dataset.theme ?? "system");
    const theme = THEMES[(now + 1) % THEMES.length];
    if (theme === "system") delete html.dataset.theme;
    else html.dataset.theme = theme;
    try {
      if (theme === "system") localStorage.removeItem("atlas-theme");
      else localStorage.setItem("atlas-theme", theme);
    } catch {
      // Storage may be switched off; then the choice lasts for this page.
    }
    show();
  });
  show();
  document.querySelector(".top").append(button);
}

/* Pictures of other units ------------------------------------------------------------------- */

// Browsers fetch lazy pictures from far below the screen. Those of other units, of photographs and of
// grids would be most of what a page loads, so they are fetched near the screen, or when it is printed.
const OTHERS = ".unit section :is(a, .strip, foreignObject) img, .cell img[loading]";

const near = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => fetchPicture(target)),
  { rootMargin: "400px" },
);

function fetchPicture(image) {
  near.unobserve(image);
  if (!image.hasAttribute("src")) image.src = image.dataset.src; // set again, it would come again
}

function holdPictures(part = document) {
  for (const image of part.querySelectorAll(OTHERS)) {
    if (image.dataset.src) continue;
    image.dataset.src = image.getAttribute("src");
    image.removeAttribute("src");
    near.observe(image);
    if (image.dataset.part) crop(image, image.dataset.part.split(" "));
  }
}

/* Show a part of a photograph: its left, top and side are in thousandths of the photograph's side. */
function crop(image, [left, top, side]) {
  const frame = element("span", { className: "crop" });
  for (const [name, value] of Object.entries({ left, top, side })) frame.style.setProperty(`--${name}`, value / 1000);
  image.replaceWith(frame);
  frame.append(image);
  return frame;
}

/* While the page is parsed ------------------------------------------------------------------ */

// Pictures are held before the browser fetches them, which it does once they are laid out. The
// header is finished as soon as it is there, so that it does not move what is below it.
function receive() {
  holdPictures();
  if (document.querySelector("main")) addToHeader();
}

const arriving = new MutationObserver(receive);
arriving.observe(document, { childList: true, subtree: true });
addEventListener("DOMContentLoaded", () => {
  arriving.disconnect();
  receive();
  keepView();
  addLightbox();
});

/* Print ------------------------------------------------------------------------------------- */

/* Fetch every picture of the page; resolves when each has come or cannot be had. */
async function fetchAll() {
  const images = [...document.images];
  for (const image of images) {
    image.loading = "eager";
    if (image.dataset.src) fetchPicture(image);
  }
  // A picture counts as complete until the browser has taken note of its new address.
  do await new Promise((resolve) => setTimeout(resolve, 50));
  while (!images.every((image) => image.complete));
}

// Before it prints, Chromium waits for pictures that are on their way, for two seconds at most (measured
// with 156). Over a slow connection that may be too short, so the page itself waits where it can: for the
// keys and its own button. Printed from the browser's menu, pictures may then be missing that were never near.
const printWhole = () => fetchAll().then(() => print());

addEventListener("keydown", (event) => {
  const isPrint = event.key === "p" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
  if (!isPrint || event.repeat) return;
  event.preventDefault();
  printWhole();
});

addEventListener("beforeprint", () => {
  fetchAll();
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    details.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const details of document.querySelectorAll("details[data-folded]")) {
    details.open = false;
    delete details.dataset.folded;
  }
});

/* Search ------------------------------------------------------------------------------------ */

// The folders that are searched: this atlas, or on the landing page each of several.
const folders = pathSettings.atlases?.split(" ").map((name) => `${name}/`) ?? [""];
const [searchScript, orderScript, keysScript, randomScript, lightboxScript] = ["search.js", "order.js", "keys.js", "random.js", "lightbox.js"].map((name) => new URL(name, document.currentScript.src));
let loading = null;

// An index is loaded as a script, because pages opened from disk may not fetch files.
const loads = new Map(); // by address: each script is loaded once

function loadScript(address) {
  if (loads.has(address.href)) return loads.get(address.href);
  const load = new Promise((resolve, reject) => {
    const script = element("script", { src: address.href });
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
  loads.set(address.href, load);
  return load;
}

async function loadInTurn() {
  await loadScript(searchScript);
  const indices = [];
  for (const folder of folders) {
    await loadScript(new URL(folder + pathSettings.index, root)); // all set the same variable
    indices.push({ folder, ...self.atlasIndex });
  }
  return indices;
}

const loadIndices = () => (loading ??= loadInTurn());

function addSearch() {
  const input = element("input", {
    type: "search",
    placeholder: "Search /",
    autocomplete: "off",
    spellcheck: false,
  });
  input.setAttribute("aria-label", "Search layers, units and classes: a name, what a unit answers to, or a layer and a number");
  const hits = element("ul", { hidden: true });
  const status = element("p", { className: "unseen" });
  status.setAttribute("role", "status");
  const form = element("form", { className: "search" }, input, hits, status);
  form.setAttribute("role", "search");

  const close = () => (hits.hidden = true);
  async function update() {
    const query = input.value.trim();
    if (!query) {
      status.textContent = "";
      return close();
    }
    const indices = await loadIndices(); // and with them search.js, which has findHits
    const matches = findHits(indices, query);
    if (query !== input.value.trim()) return undefined; // the query has changed meanwhile
    const items = matches.map(({ text, note, path }) =>
      element("li", {}, element("a", { href: new URL(path, root).href }, element("span", { textContent: text }), " ", element("i", { textContent: note }))),
    );
    hits.replaceChildren(...(items.length ? items : [element("li", { textContent: "Nothing found" })]));
    hits.hidden = false;
    status.textContent = `${matches.length || "no"} results`;
    return undefined;
  }
  input.addEventListener("input", update);
  input.addEventListener("focus", update);
  hits.addEventListener("click", close); // it may lead to another place on the same page
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    hits.querySelector("a")?.click();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
      input.focus();
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || hits.hidden) return;
    const stops = [input, ...hits.querySelectorAll("a")];
    stops[Math.max(0, Math.min(stops.length - 1, stops.indexOf(document.activeElement) + step))].focus();
    event.preventDefault();
  });
  form.addEventListener("focusout", (event) => {
    if (!form.contains(event.relatedTarget)) close();
  });
  document.querySelector(".top").append(form);
  return input;
}

/* Terms ------------------------------------------------------------------------------------- */

// A link to the glossary shows its sentences where it stands; terms.js, which does so, is loaded
// with the glossary when somebody points at such a link. Without scripts it leads to the glossary.
const TERMS = `main a[href*="${pathSettings.about}#"]:not(.term a)`;
const termsScript = new URL("terms.js", document.currentScript.src);
let terms = null;
const loadTerms = () => (terms ??= loadScript(new URL(pathSettings.glossary, root)).then(() => loadScript(termsScript)));

async function pointAt(link, isAsked, byKey) {
  try {
    await loadTerms(); // and with it showTerm
    showTerm(link, isAsked, byKey);
  } catch {
    if (isAsked) location.href = link.href;
  }
}

addEventListener("pointerover", (event) => {
  const link = event.pointerType === "mouse" && event.target.closest?.(TERMS);
  if (link) pointAt(link, false, false);
});

addEventListener("click", (event) => {
  const link = event.target.closest?.(TERMS);
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  pointAt(link, true, event.detail === 0);
});

/* View of a layer --------------------------------------------------------------------------- */

// A unit that was reached from a sorted or filtered layer keeps that view in its address.
async function keepView() {
  const main = document.querySelector("main[data-unit]");
  if (!main || !location.hash.includes("=")) return; // else it names a place on the page
  for (const link of main.querySelectorAll("a:is([rel='up'], [rel='prev'], [rel='next'])")) link.hash = location.hash;
  await loadScript(orderScript);
  keepOrder(main);
}

/* Keys -------------------------------------------------------------------------------------- */

const KEYS_OFF = "atlas-keys-off"; // in storage: single keys disturb those who speak to their computer

function areKeysOn() {
  try {
    return localStorage.getItem(KEYS_OFF) === null;
  } catch {
    return true; // storage may be switched off
  }
}

async function openKeys() {
  await loadScript(keysScript);
  showKeys();
}

function addKeys(search) {
  const follow = (rel) => document.querySelector(`main a[rel="${rel}"]`)?.click();
  const keys = {
    ArrowLeft: () => follow("prev"),
    ArrowRight: () => follow("next"),
    u: () => follow("up"),
    "/": () => search.focus(),
    "?": openKeys,
  };
  addEventListener("keydown", (event) => {
    const isElsewhere = event.target.closest?.("input, select, textarea, button, dialog, form") || event.defaultPrevented;
    if (isElsewhere || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!Object.hasOwn(keys, event.key) || !areKeysOn()) return;
    event.preventDefault();
    keys[event.key]();
  });
  const button = element("button", { type: "button", className: "keys", textContent: "Keys" });
  button.setAttribute("aria-haspopup", "dialog");
  button.addEventListener("click", openKeys);
  document.querySelector(".top").append(button);
}

/* Pictures that fill the screen ------------------------------------------------------------- */

const PICTURES = ":is(main.unit, main.tour) figure :is(img, svg[role='img'], .strip, .crop)";

const photographLink = (picture) => picture.closest(".photographs li a"); // its text is the response and the class

const pictureName = (picture) => photographLink(picture)?.innerText ?? picture.getAttribute("aria-label") ?? (picture.querySelector("img") ?? picture).alt;

/* A photograph's link leads to its file; here the photograph opens as other pictures do. */
function openHere(link, press) {
  link.setAttribute("aria-haspopup", "dialog");
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    press();
  });
}

function makePressable(picture, press) {
  picture.setAttribute("aria-label", `Enlarge: ${pictureName(picture)}`);
  picture.setAttribute("role", "button");
  picture.setAttribute("aria-haspopup", "dialog");
  picture.tabIndex = 0;
  picture.addEventListener("click", press);
  picture.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press();
  });
}

function addLightbox() {
  const canOpen = (picture) => !picture.parentElement.matches(".strip, .crop") && (photographLink(picture) || !picture.closest("a, button"));
  const pictures = [...document.querySelectorAll(PICTURES)].filter(canOpen);
  for (const picture of pictures) {
    const press = async () => {
      await loadScript(lightboxScript);
      enlarge(pictures, picture);
    };
    const link = photographLink(picture);
    if (link) openHere(link, press);
    else makePressable(picture, press);
  }
}

/* Random unit ------------------------------------------------------------------------------- */

async function openRandom() {
  const [indices] = await Promise.all([loadIndices(), loadScript(randomScript)]);
  const path = randomUnit(indices);
  if (path) location.href = new URL(path, root).href;
}

addEventListener("click", ({ target }) => target.closest?.("button.random") && openRandom());

/* Header ------------------------------------------------------------------------------------ */

// Following the link would replace the view that is in the address.
function keepViewOnSkip() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    const main = document.querySelector("main");
    main.tabIndex = -1;
    main.focus();
    event.preventDefault();
  });
}

let isHeaderDone = false;

function addToHeader() {
  if (isHeaderDone || !document.querySelector(".top")) return; // a page for frames has no header
  isHeaderDone = true;
  const search = addSearch();
  document.querySelector(".top").append(element("button", { type: "button", className: "random", textContent: "Random unit" }));
  addThemeSwitch();
  addKeys(search);
  keepViewOnSkip();
}
