// The grid of a layer's page: which pictures it shows, their size, and how units are sorted and
// filtered. These choices are in the address, so a view can be linked.
"use strict";

const SIZES = { S: "4rem", M: "", L: "11rem" };
const { sheet: SHEET, digits: SHEET_DIGITS, thumbs: THUMBS } = document.currentScript.dataset; // thumbnails are in the page itself
const DEFAULTS = { size: "M", sort: "", order: "down", by: "", from: "", to: "" };

class Grid {
  constructor(list) {
    this.list = list;
    this.columns = (list.dataset.columns ?? "").split(";").filter(Boolean).map((text) => {
      const [name, unit = ""] = text.split("|");
      return { name, unit };
    });
    this.sheets = new Map(
      (list.dataset.sheets ?? "").split(";").filter(Boolean).map((text) => {
        const [stem, columns, ratio, words] = text.split(":");
        return [stem, { columns: Number(columns), ratio, words }];
      }),
    );
    const [first = THUMBS] = this.sheets.keys(); // other sheets, if there are no excitatory pictures
    this.defaults = { show: first, ...DEFAULTS };
    this.labelled = list.classList.contains("labelled");
  }

  // Made on first use, because most readers do not sort or filter, and there may be thousands.
  get units() {
    this.cachedUnits ??= [...this.list.children].map((item) => this.unit(item));
    return this.cachedUnits;
  }

  unit(item) {
    const values = (item.dataset.n ?? "").split(" ").map((text) => (text === "-" || text === "" ? null : Number(text)));
    const link = item.querySelector("a");
    const index = Number.parseInt(link.getAttribute("href"), 10);
    const note = link.querySelector("i") ?? link.appendChild(document.createElement("i"));
    return { item, index, values, name: item.querySelector("b").textContent, cell: item.querySelector(".cell"), own: item.querySelector(".cell img"), note, pageText: note.textContent };
  }

  column(name) {
    return this.columns.findIndex((column) => column.name === name);
  }

  /* Pictures */

  show(stem) {
    const sheet = this.sheets.get(stem);
    if (!sheet) return;
    this.list.style.setProperty("--columns", sheet.columns);
    this.list.style.setProperty("--ratio", sheet.ratio);
    for (const unit of this.units) {
      if (stem === THUMBS) unit.cell.replaceChildren(...(unit.own ? [unit.own] : []));
      else unit.cell.replaceChildren(this.picture(stem, sheet, unit));
    }
  }

  picture(stem, { columns, words }, unit) {
    const cell = unit.index % (columns * columns);
    const number = String(Math.floor(unit.index / (columns * columns))).padStart(Number(SHEET_DIGITS), "0");
    const image = Object.assign(document.createElement("img"), {
      loading: "lazy",
      alt: `${words} of ${unit.name}`,
      className: `x${cell % columns} y${Math.floor(cell / columns)}`,
    });
    image.addEventListener("error", () => image.remove());
    image.src = SHEET.replace("{stem}", stem).replace("{number}", number);
    return image;
  }

  /* Filter and order */

  arrange({ sort, order, by, from, to }) {
    const filter = this.column(by);
    let n_shown = 0;
    for (const { item, values } of this.units) {
      const value = values[filter];
      const isHidden = filter >= 0 && (value === null || (from !== "" && value < Number(from)) || (to !== "" && value > Number(to)));
      item.hidden = isHidden;
      if (!isHidden) n_shown += 1;
    }
    this.list.replaceChildren(...this.ordered(sort, order).map(({ item }) => item));
    this.showNumbers(this.column(sort));
    return n_shown;
  }

  // Beside each unit, show the number that units are sorted by, or else the text of the page.
  showNumbers(column) {
    const unit = this.columns[column]?.unit ?? "";
    for (const { note, pageText, values } of this.units) {
      const isFromPage = column < 0 || (column === 0 && pageText);
      note.textContent = isFromPage ? pageText : numberText(values[column], unit);
    }
  }

  ordered(sort, order) {
    const sign = order === "up" ? 1 : -1;
    if (sort === "name") return [...this.units].sort((a, b) => -sign * a.name.localeCompare(b.name));
    const column = this.column(sort);
    if (column < 0) return order === "up" ? [...this.units].reverse() : this.units;
    return [...this.units].sort((a, b) => {
      const [first, second] = [a.values[column], b.values[column]];
      if (first === null || second === null) return (first === null) - (second === null); // missing values come last in both directions
      return sign * (first - second); // equal values stay in order, because sorting is stable
    });
  }
}

const numberText = (value, unit) => (value === null ? "–" : `${Number(value.toPrecision(3))}${unit === "°" ? unit : ` ${unit}`}`.trim());

function readState(defaults) {
  return { ...defaults, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

const agree = (state, other) => Object.entries(other).every(([name, value]) => state[name] === value);

function writeState(state, defaults) {
  const kept = Object.entries(state).filter(([name, value]) => name in defaults && value !== defaults[name]);
  const hash = new URLSearchParams(kept).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function addControls(grid) {
  const option = ([value, text]) => Object.assign(document.createElement("option"), { value, textContent: text });
  const select = (name, options) => {
    const made = Object.assign(document.createElement("select"), { name });
    made.append(...options.map(option));
    return made;
  };
  const number = (name, label) => {
    const made = Object.assign(document.createElement("input"), { name, type: "number", step: "any", placeholder: label });
    made.setAttribute("aria-label", `Filter ${label}`);
    return made;
  };
  const labelled = (text, ...controls) => {
    const made = document.createElement("label");
    made.append(text, " ", ...controls);
    return made;
  };
  const columns = grid.columns.map(({ name, unit }) => [name, unit ? `${name}, ${unit}` : name]);
  const orders = [["", "number"], ...(grid.labelled ? [["name", "name"]] : []), ...columns];
  const form = Object.assign(document.createElement("form"), { className: "controls" });
  form.setAttribute("aria-label", "View of the units");
  if (grid.sheets.size > 1) form.append(labelled("Show", select("show", [...grid.sheets].map(([stem, { words }]) => [stem, words]))));
  form.append(labelled("Size", select("size", Object.keys(SIZES).map((size) => [size, size]))));
  form.append(labelled("Sort by", select("sort", orders), select("order", [["down", "↓"], ["up", "↑"]])));
  form.elements.order.setAttribute("aria-label", "Direction");
  if (columns.length) form.append(labelled("Only", select("by", [["", "all units"], ...columns])), number("from", "from"), number("to", "to"));
  const status = Object.assign(document.createElement("output"), {});
  form.append(status);

  const apply = (state) => {
    for (const [name, value] of Object.entries(state)) if (form.elements[name]) form.elements[name].value = value;
    for (const name of ["from", "to"]) if (form.elements[name]) form.elements[name].hidden = !form.elements.by?.value;
    grid.list.style.setProperty("--cell", SIZES[state.size] || "");
    const pageState = { ...grid.defaults, show: THUMBS, size: state.size };
    if (!grid.cachedUnits && agree(state, pageState)) return;
    grid.show(state.show);
    const n_shown = grid.arrange(state);
    status.textContent = n_shown === grid.units.length ? "" : `${n_shown} of ${grid.units.length}`;
  };
  const current = () => ({ ...grid.defaults, ...Object.fromEntries(new FormData(form)) });
  form.addEventListener("input", () => {
    writeState(current(), grid.defaults);
    apply(current());
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => apply(readState(grid.defaults)));
  grid.list.before(form);
  apply(readState(grid.defaults));
}

addEventListener("DOMContentLoaded", () => {
  for (const list of document.querySelectorAll(".grid")) addControls(new Grid(list));
});
