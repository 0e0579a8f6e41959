// The comparison: units that a reader collects across pages, side by side on compare.html.
// The units on that page are in its address, so it can be linked; collected units are in storage.
"use strict";

const COMPARE_KEY = `atlas-compare ${root.pathname}`; // other atlases may share the host
const MAX_COMPARED = 12;

/* The collected units: [{ id, pictured }], where `pictured` means that there is an excitatory picture. */
function collected() {
  try {
    const units = JSON.parse(localStorage.getItem(COMPARE_KEY)) ?? [];
    return units.map((unit) => (typeof unit === "string" ? { id: unit, pictured: true } : unit));
  } catch {
    return []; // storage is switched off, or was written by something else
  }
}

function collect(units) {
  try {
    localStorage.setItem(COMPARE_KEY, JSON.stringify(units));
  } catch {
    // Storage may be switched off; links to compare.html still work.
  }
  showTray();
}

const compareLink = (ids) => new URL(`${pathSettings.compare}#${ids.join(",")}`, root).href;

function unitPaths(id) {
  const [layer, index] = id.split(":");
  const href = (pattern) => new URL(pathOf(pattern, layer, index), root).href;
  return { page: href(pathSettings.page), picture: href(pathSettings.picture) };
}

const isUnit = (id) => /^[^:,\s]+:\d+$/.test(id);

function pictureOf(id, pictured, properties) {
  if (!pictured) return element("span", { className: "blank", title: `${id} has no picture yet` });
  return element("img", { src: unitPaths(id).picture, ...properties });
}

/* The tray of collected units, on every page while there are any */

function showTray() {
  document.querySelector(".tray")?.remove();
  const units = collected();
  if (!units.length || document.querySelector("main.compare")) return;
  const ids = units.map(({ id }) => id);
  const pictures = units.map(({ id, pictured }) => pictureOf(id, pictured, { alt: id, width: 40, height: 40 }));
  const clear = element("button", { type: "button", textContent: "Clear" });
  clear.addEventListener("click", () => collect([]));
  const tray = element(
    "aside",
    { className: "tray" },
    ...pictures,
    element("a", { href: compareLink(ids), textContent: `Compare ${ids.length}` }),
    clear,
  );
  tray.setAttribute("aria-label", "Units to compare");
  document.body.append(tray);
}

/* On a unit's page: collect, link, cite, download */

const copyText = (button, text) => {
  const label = button.textContent;
  navigator.clipboard?.writeText(text).then(
    () => {
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), 1500);
    },
    () => prompt("Copy this:", text),
  ) ?? prompt("Copy this:", text); // pages opened from disk have no clipboard
};

function citation(id) {
  const network = document.querySelector(".brand").textContent.replace("Atlas of ", "");
  const provenance = [...document.querySelectorAll(".provenance div")].map((row) => row.textContent.replace(/\s+/g, " ").trim());
  const address = location.protocol === "file:" ? "" : `\n  url = {${location.origin}${location.pathname}},`;
  return `@misc{atlas-${id.replace(/\W+/g, "-")},
  title = {${document.querySelector("h1").textContent}: unit ${id} of ${network}},
  howpublished = {Atlas of ${network}},${address}
  note = {${provenance.join("; ")}},
  urldate = {${new Date().toISOString().slice(0, 10)}}
}`;
}

function addTools(main) {
  const id = main.dataset.unit;
  const picture = main.querySelector(".pictures > figure > img");
  const button = (text, act) => {
    const made = element("button", { type: "button", textContent: text });
    made.addEventListener("click", () => act(made));
    return made;
  };
  const compare = button("", () => {
    const units = collected();
    const others = units.filter((each) => each.id !== id);
    collect(others.length < units.length ? others : [...units, { id, pictured: Boolean(picture) }].slice(-MAX_COMPARED));
    label();
  });
  const label = () => {
    const isCollected = collected().some((each) => each.id === id);
    compare.textContent = isCollected ? "Remove from comparison" : "Compare";
    compare.setAttribute("aria-pressed", isCollected);
  };
  label();
  const tools = element("p", { className: "tools" }, compare);
  tools.append(button("Copy link", (pressed) => copyText(pressed, location.href.split("#")[0])));
  tools.append(button("Cite", (pressed) => copyText(pressed, citation(id))));
  if (picture) tools.append(element("a", { href: picture.src, download: `${id.replace(":", "-")}.webp`, textContent: "Download picture" }));
  main.querySelector(".lead").after(tools);
}

/* compare.html */

async function showCompared() {
  const list = document.querySelector(".compared");
  const asked = decodeURIComponent(location.hash.slice(1)) || collected().map(({ id }) => id).join(",");
  const ids = asked.split(",").filter(isUnit);
  const [index] = await loadIndices();
  const figures = ids.map((id) => {
    const { page } = unitPaths(id);
    const [name, number] = id.split(":");
    const [, , , pictured = []] = index.layers.find(([layer]) => layer === name) ?? [];
    const image = pictureOf(id, isIn(pictured, Number(number)), { alt: `What excites ${id}` });
    const remove = element("button", { type: "button", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${id}`);
    remove.addEventListener("click", () => {
      const remaining = ids.filter((each) => each !== id);
      collect(collected().filter((each) => each.id !== id));
      location.replace(`#${remaining.join(",")}`);
    });
    const caption = element("figcaption", {}, element("a", { href: page, textContent: id }), " ", remove);
    return element("li", {}, element("figure", {}, element("a", { href: page }, image), caption));
  });
  list.replaceChildren(...figures);
  document.querySelector(".empty").hidden = Boolean(ids.length);
  nameClasses(list, index);
}

// Show classes by name instead of number; the names are in the index of the search.
function nameClasses(list, { classifier, labels }) {
  for (const link of list.querySelectorAll("figcaption a")) {
    const [layer, number] = link.textContent.split(":");
    if (layer === classifier && labels[number]) link.textContent = `${labels[number]} (${layer}:${number})`;
  }
}

addEventListener("DOMContentLoaded", () => {
  showTray();
  const unit = document.querySelector("main[data-unit]");
  if (unit) addTools(unit);
  if (document.querySelector("main.compare")) {
    showCompared();
    addEventListener("hashchange", showCompared);
  }
});
addEventListener("storage", showTray);
addEventListener("pageshow", (event) => event.persisted && showTray());
