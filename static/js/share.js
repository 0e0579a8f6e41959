// What a unit's page offers to pass it on: comparison, link, citation, a frame for other pages, its picture.
"use strict";

const { embed: EMBED } = document.currentScript.dataset;
const FRAME = { width: 260, height: 330 };

/* The address where the atlas is published, if that is known, or of this page; none for a page on disk. */
function publicAddress() {
  const published = document.querySelector("meta[property='og:url']")?.content;
  if (published) return published;
  return location.protocol === "file:" ? "" : location.href.split("#")[0];
}

/* Citation ----------------------------------------------------------------------------------- */

const LATEX = {
  "\\": "\\textbackslash{}", "{": "\\textbraceleft{}", "}": "\\textbraceright{}", "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}",
};

/* Text for a field of BibTeX, whose braces must be in pairs. */
const latex = (text) => text.replace(/[\\{}~^<>|&%$#_]/g, (sign) => LATEX[sign] ?? `\\${sign}`);

const keyPart = (text) => text.normalize("NFD").replace(/[^A-Za-z0-9.:-]+/g, "-").replace(/^-+|-+$/g, "");

/* An entry of BibTeX (http://mirrors.ctan.org/biblio/bibtex/base/btxdoc.pdf); its year is that of the page's file. */
function citation(main) {
  const { unit: id, name } = main.dataset;
  const atlas = document.querySelector(".brand").textContent;
  const provenance = [...document.querySelectorAll(".provenance div")].map((row) =>
    [...row.children].map((part) => part.textContent.replace(/\s+/g, " ").trim()).join(": "),
  );
  const year = new Date(document.lastModified).getFullYear() || new Date().getFullYear();
  const fields = {
    key: latex(atlas),
    title: `{${latex(name)}}`,
    howpublished: latex(atlas),
    year,
    url: publicAddress(),
    urldate: new Date().toISOString().slice(0, 10),
    note: latex(provenance.join("; ")),
  };
  const lines = Object.entries(fields).filter(([, value]) => value).map(([field, value]) => `  ${field} = {${value}}`);
  return `@misc{${keyPart(`${atlas.replace("Atlas of ", "")}:${id}`)},\n${lines.join(",\n")}\n}`;
}

/* Frame -------------------------------------------------------------------------------------- */

const embedLink = (id, base) => `${new URL(EMBED, base).href}#${encodeURIComponent(id).replace("%3A", ":")}`;

const attribute = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

function frameCode(main) {
  const address = publicAddress();
  const base = address ? new URL("../", address) : root;
  const { unit: id, name } = main.dataset;
  return `<iframe src="${attribute(embedLink(id, base))}" title="${attribute(name)}" width="${FRAME.width}" height="${FRAME.height}" loading="lazy" style="border: 0"></iframe>`;
}

/* Dialogs ------------------------------------------------------------------------------------ */

/* A text to read and to copy, with what else belongs to it. */
function showText(heading, words, text, ...more) {
  const code = element("code", { textContent: text });
  const title = element("h2", { id: "share-title", textContent: heading });
  const status = element("p", { className: "note" });
  status.setAttribute("role", "status");
  const copy = element("button", { type: "button", textContent: "Copy" });
  copy.addEventListener("click", () =>
    copyText(copy, text, () => {
      getSelection().selectAllChildren(code);
      status.textContent = "It is selected now: copy it with Ctrl+C, or ⌘C on a Mac.";
    }),
  );
  const close = element("button", { type: "button", textContent: "Close" });
  const actions = element("p", { className: "actions" }, copy, close);
  const dialog = element("dialog", { className: "share", tabIndex: -1 }, title, element("p", { textContent: words }), element("pre", {}, code), actions, status, ...more);
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // keys of the page behind it
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function showCitation(main) {
  const where = publicAddress() ? "" : " It has no address, because the page was opened from a disk.";
  showText("Cite", `An entry for BibTeX.${where}`, citation(main));
}

function showFrame(main) {
  const where = publicAddress() ? "" : " The page was opened from a disk, so the code works on this computer only.";
  const { unit: id, name } = main.dataset;
  const preview = element("iframe", { src: embedLink(id, root), title: `Preview: ${name}`, ...FRAME });
  showText("Embed", `Code for a page of your own, where it shows the unit as below.${where}`, frameCode(main), preview);
}

/* Tools -------------------------------------------------------------------------------------- */

function compareButton(main, pictured) {
  const { unit: id } = main.dataset;
  const button = element("button", { type: "button", textContent: "Compare" });
  const label = () => {
    const isCollected = collected().units.some((each) => each.id === id);
    button.setAttribute("aria-pressed", isCollected);
    button.title = isCollected ? "In your list; press to remove it" : "Add to the units that you compare";
  };
  button.addEventListener("click", () => {
    const list = collected();
    const others = list.units.filter((each) => each.id !== id);
    if (others.length < list.units.length) collect({ ...list, units: others });
    else if (others.length >= MAX_UNITS) showTray(`Not added: the list is full with ${MAX_UNITS} units. Remove one on the page Compare.`);
    else collect({ ...list, units: [...others, { id, pictured }] });
    label();
  });
  for (const event of ["collected", "storage"]) addEventListener(event, label);
  label();
  return button;
}

function addTools(main) {
  const { unit: id } = main.dataset;
  const picture = main.querySelector(".pictures > figure > img");
  const button = (text, act) => {
    const made = element("button", { type: "button", textContent: text });
    made.addEventListener("click", () => act(made));
    return made;
  };
  const address = location.href.split("#")[0];
  const tools = element(
    "p",
    { className: "tools" },
    compareButton(main, Boolean(picture)),
    button("Copy link", (pressed) => copyText(pressed, address, () => showText("Link", "The address of this page.", address))),
    button("Cite", () => showCitation(main)),
    button("Embed", () => showFrame(main)),
    button("Print", printWhole),
  );
  if (picture) tools.append(element("a", { href: picture.src, download: `${id.replace(":", "-")}.webp`, textContent: "Download picture" }));
  main.querySelector(".found").after(tools);
}

addEventListener("DOMContentLoaded", () => addTools(document.querySelector("main[data-unit]")));
