// The grid of a layer's page: what it shows, how large, in which order and which of it.
// All of that stands in the address, so a view can be linked.
"use strict";

const SIZES = { S: "4rem", M: "", L: "11rem" };
const { sheet: SHEET, digits: SHEET_DIGITS, thumbs: THUMBS } = document.currentScript.dataset; // thumbs are in the page itself
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
    const [first = THUMBS] = this.sheets.keys(); // others, as long as there are no excitatory pictures
    this.defaults = { show: first, ...DEFAULTS };
    this.labelled = list.classList.contains("labelled");
  }

  // Only when they are asked for: most readers just look, and there may be thousands.
  get units() {
    this.known ??= [...this.list.children].map((item) => this.unit(item));
    return this.known;
  }

  unit(item) {
    const values = (item.dataset.n ?? "").split(" ").map((text) => (text === "-" || text === "" ? null : Number(text)));
    const link = item.querySelector("a");
    const index = Number.parseInt(link.getAttribute("href"), 10);
    const told = link.querySelector("i") ?? link.appendChild(document.createElement("i"));
    return { item, index, values, name: item.querySelector("b").textContent, cell: item.querySelector(".cell"), own: item.querySelector(".cell img"), told, said: told.textContent };
  }

  column(name) {
    return this.columns.findIndex((column) => column.name === name);
  }

  /* What is shown */

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

  /* Which, in which order */

  arrange({ sort, order, by, from, to }) {
    const filter = this.column(by);
    let n_shown = 0;
    for (const { item, values } of this.units) {
      const value = values[filter];
      const out = filter >= 0 && (value === null || (from !== "" && value < Number(from)) || (to !== "" && value > Number(to)));
      item.hidden = out;
      if (!out) n_shown += 1;
    }
    this.list.replaceChildren(...this.ordered(sort, order).map(({ item }) => item));
    this.tell(this.column(sort));
    return n_shown;
  }

  // Beside each unit, the number that it is sorted by; else what the page says, its score.
  tell(column) {
    const unit = this.columns[column]?.unit ?? "";
    for (const { told, said, values } of this.units) {
      const asItWas = column < 0 || (column === 0 && said);
      told.textContent = asItWas ? said : spelled(values[column], unit);
    }
  }

  ordered(sort, order) {
    const sign = order === "up" ? 1 : -1;
    if (sort === "name") return [...this.units].sort((a, b) => -sign * a.name.localeCompare(b.name));
    const column = this.column(sort);
    if (column < 0) return order === "up" ? [...this.units].reverse() : this.units;
    return [...this.units].sort((a, b) => {
      const [first, second] = [a.values[column], b.values[column]];
      if (first === null || second === null) return (first === null) - (second === null); // last either way
      return sign * (first - second); // stable: ties stay in order
    });
  }
}

const spelled = (value, unit) => (value === null ? "–" : `${Number(value.toPrecision(3))}${unit === "°" ? unit : ` ${unit}`}`.trim());

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
    const asItWas = { ...grid.defaults, show: THUMBS, size: state.size };
    if (!grid.known && agree(state, asItWas)) return;
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
