// The comparison: units that a reader collects across pages, side by side on compare.html.
// What is shown there stands in the address, so it can be linked; what is collected, in storage.
"use strict";

const compareRoot = new URL("../..", document.currentScript.src);
const COMPARE_KEY = `atlas-compare ${compareRoot.pathname}`; // other atlases may share the host
const MAX_COMPARED = 12;

const make = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

function collected() {
  try {
    return JSON.parse(localStorage.getItem(COMPARE_KEY)) ?? [];
  } catch {
    return []; // storage is switched off, or was written by something else
  }
}

function collect(ids) {
  try {
    localStorage.setItem(COMPARE_KEY, JSON.stringify(ids));
  } catch {
    // Storage may be switched off; links to compare.html still work.
  }
  showTray();
}

const compareLink = (ids) => new URL(`compare.html#${ids.join(",")}`, compareRoot).href;

function unitPaths(id) {
  const [layer, index] = id.split(":");
  const stem = `${layer}/${index.padStart(4, "0")}`;
  return { page: new URL(`${stem}.html`, compareRoot).href, picture: new URL(`${stem}.webp`, compareRoot).href };
}

const isUnit = (id) => /^[\w.]+:\d+$/.test(id);

/* The tray, on every page that has something in it */

function showTray() {
  document.querySelector(".tray")?.remove();
  const ids = collected();
  if (!ids.length || document.querySelector("main.compare")) return;
  const pictures = ids.map((id) => make("img", { src: unitPaths(id).picture, alt: id, width: 40, height: 40 }));
  const clear = make("button", { type: "button", textContent: "Clear" });
  clear.addEventListener("click", () => collect([]));
  const tray = make(
    "aside",
    { className: "tray" },
    ...pictures,
    make("a", { href: compareLink(ids), textContent: `Compare ${ids.length}` }),
    clear,
  );
  tray.setAttribute("aria-label", "Units to compare");
  document.body.append(tray);
}

/* On a unit's page: collect, link, cite, download */

const copied = (button, text) => {
  const label = button.textContent;
  navigator.clipboard?.writeText(text).then(
    () => {
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), 1500);
    },
    () => prompt("Copy this:", text),
  ) ?? prompt("Copy this:", text); // no clipboard for pages from a disk
};

function citation(id) {
  const network = document.querySelector(".brand").textContent.replace("Atlas of ", "");
  const told = [...document.querySelectorAll(".provenance div")].map((row) => row.textContent.replace(/\s+/g, " ").trim());
  const address = location.protocol === "file:" ? "" : `\n  url = {${location.origin}${location.pathname}},`;
  return `@misc{atlas-${id.replace(/\W+/g, "-")},
  title = {${document.querySelector("h1").textContent}: unit ${id} of ${network}},
  howpublished = {Atlas of ${network}},${address}
  note = {${told.join("; ")}},
  urldate = {${new Date().toISOString().slice(0, 10)}}
}`;
}

function addTools(main) {
  const id = main.dataset.unit;
  const button = (text, act) => {
    const made = make("button", { type: "button", textContent: text });
    made.addEventListener("click", () => act(made));
    return made;
  };
  const compare = button("", () => {
    const ids = collected();
    collect(ids.includes(id) ? ids.filter((each) => each !== id) : [...ids, id].slice(-MAX_COMPARED));
    label();
  });
  const label = () => {
    const inside = collected().includes(id);
    compare.textContent = inside ? "Remove from comparison" : "Compare";
    compare.setAttribute("aria-pressed", inside);
  };
  label();
  const tools = make("p", { className: "tools" }, compare);
  tools.append(button("Copy link", (pressed) => copied(pressed, location.href.split("#")[0])));
  tools.append(button("Cite", (pressed) => copied(pressed, citation(id))));
  const picture = main.querySelector(".pictures > figure > img");
  if (picture) tools.append(make("a", { href: picture.src, download: `${id.replace(":", "-")}.webp`, textContent: "Download picture" }));
  main.querySelector(".lead").after(tools);
}

/* compare.html */

function showCompared() {
  const list = document.querySelector(".compared");
  const ids = decodeURIComponent(location.hash.slice(1)).split(",").filter(isUnit);
  const figures = ids.map((id) => {
    const { page, picture } = unitPaths(id);
    const image = make("img", { src: picture, alt: `What excites ${id}` });
    image.addEventListener("error", () => image.replaceWith(make("span", { className: "blank" })));
    const remove = make("button", { type: "button", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${id}`);
    remove.addEventListener("click", () => {
      const left = ids.filter((each) => each !== id);
      collect(collected().filter((each) => each !== id));
      location.replace(`#${left.join(",")}`);
    });
    const caption = make("figcaption", {}, make("a", { href: page, textContent: id }), " ", remove);
    return make("li", {}, make("figure", {}, make("a", { href: page }, image), caption));
  });
  list.replaceChildren(...figures);
  document.querySelector(".empty").hidden = Boolean(ids.length);
  nameClasses(list);
}

// Numbers say little of classes; their names are in the index that the search uses.
async function nameClasses(list) {
  const { classifier, labels } = await loadIndex();
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
