// The grid of a layer's page: which pictures it shows, their size, how units are sorted and filtered,
// and the way to one of them. The view is in the address, so it can be linked. The script stands
// before the grid, so that its controls are there when the grid is drawn and nothing moves.
"use strict";

const SIZES = { S: "4rem", M: "", L: "11rem" };
const PER_SLICE = 96; // units that are added at once: few enough that the page goes on answering
const layerScript = document.currentScript;
const { sheet: SHEET, digits: SHEET_DIGITS, thumbs: THUMBS } = layerScript.dataset; // thumbnails are in the page itself
const PHOTOGRAPHS = "photographs"; // not on sheets: parts of whole ones
const isWide = matchMedia("(min-width: 40rem)");

const listOf = (text) => (text ?? "").split(";").filter(Boolean);

function sheetsOf(section) {
  return new Map(
    listOf(section.dataset.sheets).map((text) => {
      const [stem, columns, ratio, words] = text.split(":");
      return [stem, { columns: Number(columns), ratio, words }];
    }),
  );
}

function photographPart([number, ...part]) {
  const image = element("img", { loading: "lazy", alt: "", src: new URL(pathOf(pathSettings.photograph, "", number), root).href });
  return crop(image, part);
}

/* The units that the page has without scripts as well; here they are added little by little. */
class Grid {
  constructor(section) {
    this.cells = section.querySelector(".cells");
    this.list = section.querySelector(".grid");
    this.layer = section.dataset.layer;
    this.sheets = sheetsOf(section);
    this.waiting = (section.querySelector("noscript")?.textContent ?? "").split(/(?=<li>)/).filter((html) => html.startsWith("<li>"));
  }

  addWaiting(n) {
    const template = element("template", { innerHTML: this.waiting.splice(0, n).join("") });
    holdPictures(template.content);
    this.list.append(template.content);
  }

  addInTurn() {
    if (!this.waiting.length) return;
    this.addWaiting(PER_SLICE);
    setTimeout(() => this.addInTurn());
  }

  // Made on first use, because most readers do not sort or filter, and there may be thousands.
  get units() {
    if (this.waiting.length) this.addWaiting(this.waiting.length);
    this.cachedUnits ??= [...this.list.children].map((item) => this.unit(item));
    return this.cachedUnits;
  }

  unit(item) {
    const link = item.querySelector("a");
    const note = link.querySelector("i") ?? link.appendChild(document.createElement("i"));
    const page = link.getAttribute("href");
    return {
      item, link, page, note,
      index: Number.parseInt(page, 10),
      name: item.querySelector("b").textContent,
      cell: item.querySelector(".cell"),
      own: item.querySelector(".cell img"),
      pageText: note.textContent,
    };
  }

  /* Pictures */

  show(stem) {
    const sheet = this.sheets.get(stem);
    if (!sheet || stem === (this.shown ?? THUMBS)) return;
    this.shown = stem;
    this.cells.style.setProperty("--columns", sheet.columns);
    this.cells.style.setProperty("--ratio", sheet.ratio);
    if (stem === PHOTOGRAPHS) return this.showPhotographs();
    for (const unit of this.units) {
      if (stem === THUMBS) unit.cell.replaceChildren(...(unit.own ? [unit.own] : []));
      else unit.cell.replaceChildren(this.picture(stem, sheet, unit));
    }
  }

  /* The parts of photographs that drive each unit most. */
  async showPhotographs() {
    await loadScript(new URL(pathOf(pathSettings.photographs, this.layer), root));
    if (this.shown !== PHOTOGRAPHS) return; // it has changed meanwhile
    for (const unit of this.units) {
      const parts = self.atlasPhotographs[unit.index].map((part) => photographPart(part));
      if (parts.length) parts[0].firstChild.alt = `Photographs of ${unit.name}`;
      unit.cell.replaceChildren(element("span", { className: "parts" }, ...parts));
    }
  }

  picture(stem, { columns, words }, unit) {
    const cell = unit.index % (columns * columns);
    const number = String(Math.floor(unit.index / (columns * columns))).padStart(Number(SHEET_DIGITS), "0");
    const image = element("img", {
      loading: "lazy",
      alt: `${words} of ${unit.name}`,
      className: `x${cell % columns} y${Math.floor(cell / columns)}`,
    });
    image.addEventListener("error", () => image.remove());
    image.src = SHEET.replace("{stem}", stem).replace("{number}", number);
    return image;
  }

  /* Filter and order */

  // Beside each unit, show the number that units are sorted by, or else the text of the page.
  arrange(places, column, isFirst, hash) {
    this.list.replaceChildren(
      ...places.map((place) => {
        const unit = this.units[place];
        const isFromPage = !column || (isFirst && unit.pageText);
        unit.note.textContent = isFromPage ? unit.pageText : numberText(column.values[place], column.unit);
        unit.link.href = unit.page + hash;
        return unit.item;
      }),
    );
  }

  /* The unit that a key leads to from another one, by where they are on the screen. */
  neighbour(item, key) {
    const nColumns = getComputedStyle(this.cells).gridTemplateColumns.split(" ").length;
    const items = [...this.list.children], at = items.indexOf(item), last = items.length - 1;
    const place = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - nColumns, ArrowDown: at + nColumns, Home: 0, End: last }[key];
    return items[place];
  }

  move(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (!/^(Arrow.*|Home|End)$/.test(event.key)) return;
    event.preventDefault();
    this.neighbour(event.target.closest("li"), event.key)?.querySelector("a").focus();
  }

  /* The unit with a number, or whose name begins so. */
  find(text) {
    const typed = text.trim().toLowerCase();
    if (/^\d+$/.test(typed)) return this.units.find(({ index }) => index === Number(typed));
    return typed && this.units.find(({ name }) => name.toLowerCase().startsWith(typed));
  }
}

/* Controls ---------------------------------------------------------------------------------- */

const option = ([value, text]) => element("option", { value, textContent: text });
const select = (name, options) => element("select", { name }, ...options.map(option));
const labelled = (text, ...controls) => element("label", {}, text, " ", ...controls);

function limit(name) {
  const made = element("input", { name, type: "number", step: "any", placeholder: name, hidden: true });
  made.setAttribute("aria-label", `Filter ${name}`);
  return made;
}

function viewControls(section, sheets) {
  const columns = listOf(section.dataset.columns).map((label) => {
    const [name, unit] = label.split("|");
    return [name, unit ? `${name}, ${unit}` : name];
  });
  const orders = [["", "number"], ...("named" in section.dataset ? [["name", "name"]] : []), ...columns];
  const direction = select("order", [["down", "↓"], ["up", "↑"]]);
  direction.setAttribute("aria-label", "Direction");
  const shown = [...sheets].map(([stem, { words }]) => [stem, words]);
  return [
    ...(shown.length > 1 ? [labelled("Show", select("show", shown))] : []),
    labelled("Size", select("size", Object.keys(SIZES).map((size) => [size, size]))),
    element("span", {}, labelled("Sort by", select("sort", orders)), " ", direction),
    ...(columns.length ? [element("span", {}, labelled("Filter by", select("by", [["", "nothing"], ...columns])), " ", limit("from"), " ", limit("to"))] : []),
  ];
}

function presetButtons(section, press) {
  return listOf(section.dataset.presets).map((text) => {
    const [name, view] = text.split("|");
    const button = element("button", { type: "button", textContent: name });
    button.preset = { ...ORDER, ...Object.fromEntries(new URLSearchParams(view)) };
    button.addEventListener("click", () => press(button));
    return button;
  });
}

class Controls {
  constructor(section) {
    this.section = section;
    const sheets = sheetsOf(section);
    const [first = THUMBS] = sheets.keys(); // other sheets, if there are no excitatory pictures
    this.defaults = { show: first, size: "M", ...ORDER };
    this.presets = presetButtons(section, (button) => this.press(button));
    this.status = element("output");
    const isNamed = "named" in section.dataset;
    const goal = element("input", { name: "unit", type: "text", placeholder: isNamed ? "number or name" : "number", inputMode: isNamed ? "text" : "numeric", autocomplete: "off" });
    this.view = element("details", {}, element("summary", { textContent: "View" }), element("div", {}, ...viewControls(section, sheets)));
    const row = element("div", { className: "presets" }, ...this.presets);
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "Only units of one sort");
    const way = element("span", {}, labelled("Go to", goal), element("button", { textContent: "Go" }));
    this.form = element("form", { className: "controls" }, ...(this.presets.length ? [row] : []), this.view, way, this.status);
    this.form.setAttribute("aria-label", "View of the units");
    this.open();
  }

  // On a narrow screen they are folded, because they stay in sight while the grid is scrolled.
  open() {
    const fit = () => (this.view.open = isWide.matches);
    isWide.addEventListener("change", fit);
    fit();
  }

  start() {
    this.grid = new Grid(this.section);
    this.form.addEventListener("input", (event) => event.target.name !== "unit" && this.change(this.current()));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.go(this.form.elements.unit.value);
    });
    this.grid.cells.addEventListener("keydown", (event) => this.grid.move(event));
    addEventListener("hashchange", () => this.apply(readView(this.defaults)));
    addEventListener("beforeprint", () => this.grid.units && fetchAll());
    if (document.readyState === "complete") this.grid.addInTurn();
    else addEventListener("load", () => this.grid.addInTurn());
    this.apply(readView(this.defaults));
  }

  current() {
    const typed = new FormData(this.form);
    return Object.fromEntries(Object.entries(this.defaults).map(([name, value]) => [name, typed.get(name) ?? value]));
  }

  press(button) {
    const isPressed = button.getAttribute("aria-pressed") === "true";
    this.change({ ...this.current(), ...(isPressed ? ORDER : button.preset) });
  }

  change(view) {
    history.replaceState(null, "", viewHash(view, this.defaults) || location.pathname + location.search);
    this.apply(view);
  }

  async apply(view) {
    this.fill(view);
    const { grid } = this;
    grid.cells.style.setProperty("--cell", SIZES[view.size] || "");
    if (!this.applied && !isOrdered(view) && view.show === THUMBS && view.size === "M") return; // the page as it is
    this.applied = view;
    this.section.setAttribute("aria-busy", "true");
    await grid.show(view.show);
    const values = isOrdered(view) ? await loadValues(this.section.dataset.layer) : null;
    if (this.applied !== view) return; // it has changed meanwhile
    const places = values?.places(view) ?? [...grid.units.keys()];
    const column = values?.column(view.sort);
    grid.arrange(places, column, column && column === values.columns[0], viewHash(view, this.defaults));
    this.status.textContent = places.length === grid.units.length ? "" : `${places.length} of ${grid.units.length}`;
    this.section.removeAttribute("aria-busy");
  }

  fill(view) {
    const { elements } = this.form;
    for (const [name, value] of Object.entries(view)) if (elements[name]) elements[name].value = value;
    for (const name of ["from", "to"]) if (elements[name]) elements[name].hidden = !elements.by.value;
    for (const button of this.presets) {
      const isShown = ["by", "from", "to"].every((name) => button.preset[name] === view[name]);
      button.setAttribute("aria-pressed", isShown);
    }
  }

  go(text) {
    const unit = this.grid.find(text);
    if (unit?.item.isConnected) {
      unit.item.scrollIntoView({ block: "center", behavior: "instant" });
      unit.link.focus();
      this.status.textContent = "";
    } else if (text.trim()) this.status.textContent = unit ? `${text} is filtered out` : `There is no ${text} here`;
  }
}

const controls = new Controls(layerScript.parentElement);
layerScript.after(controls.form);
addEventListener("DOMContentLoaded", () => controls.start());
