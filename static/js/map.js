// The map of all units: a viewer of its tiles, with names, colours and links. What is seen is in the
// address, so that it can be linked: the middle, the size of a cell, the colours, and a marked unit.
"use strict";

const LEAST_OPENED_PX = 24; // smaller pictures cannot be hit well; the map comes closer instead
const CLOSER_PX = 72;
const MARKED_PX = 96;
const MAX_CELL_PX = 192;
const TINT = 0.55; // opacity of colours over the pictures
const COVER = 0.85; // and of what covers those that are not meant
const HUE_STEP_DEG = 10;
const CLASS_STEP_DEG = 137.5; // so that classes that follow each other have unlike colours
const KEPT_KEYS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "+", "=", "-", "_", "0"];
const COLOURS = { "": "nothing", layer: "layer", hue: "hue", class: "class" };
const KEYS = {
  layer: [["first layer"], "depth", ["last layer"]],
  hue: [["The hue that a unit prefers among drawn ones:"], "hue", ["without colour: none, or not measured"]],
  class: [["One colour for each class that a unit stands for, or that drives it most; without colour: none"]],
};

const holder = document.querySelector(".atlas-map");
const { columns: N_COLUMNS, rows: N_ROWS, cell: CELL_PX, tile: TILE_PX, overview: OVERVIEW_CELL_PX } = Object.fromEntries(
  Object.entries(holder.dataset).map(([name, text]) => [name, Number(text)]),
);
const TILE_PATH = holder.dataset.path;

/* Units ------------------------------------------------------------------------------------- */

const { layers: mapLayers, units: unitsOfCells, hues, classes, names, words } = self.atlasMap;
const firstOfLayer = mapLayers.map((_, nth) => mapLayers.slice(0, nth).reduce((sum, [, n]) => sum + n, 0));
const cellOfUnit = new Map(unitsOfCells.map((unit, cell) => [unit, cell]));

const layerOf = (cell) => firstOfLayer.findLastIndex((first) => first <= unitsOfCells[cell]);

function unitIn(cell) {
  const nth = layerOf(cell);
  const layer = mapLayers[nth][0], index = unitsOfCells[cell] - firstOfLayer[nth];
  return { id: `${layer}:${index}`, name: words[names[cell] - 1] ?? "", href: new URL(pathOf(pathSettings.page, layer, index), root).href };
}

/* The cell of a unit such as "layer1.0.conv2:7"; undefined if it is not on the map. */
function cellNamed(id) {
  const [, layer, index] = /^(.*):(\d+)$/.exec(id) ?? [];
  const nth = mapLayers.findIndex(([name, n]) => name === layer && Number(index) < n);
  return nth < 0 ? undefined : cellOfUnit.get(firstOfLayer[nth] + Number(index));
}

const rowOf = (cell) => Math.floor(cell / N_COLUMNS);
const columnOf = (cell) => cell % N_COLUMNS;

/* The viewer -------------------------------------------------------------------------------- */

// The width of the map is 1 in the viewer's coordinates.
const rectOf = (cell) => new OpenSeadragon.Rect(columnOf(cell) / N_COLUMNS, rowOf(cell) / N_COLUMNS, 1 / N_COLUMNS, 1 / N_COLUMNS);

function tileSource() {
  const maxLevel = Math.log2(CELL_PX / OVERVIEW_CELL_PX);
  const cellPx = (level) => CELL_PX / 2 ** (maxLevel - level);
  const side = (level) => (level ? TILE_PX : Math.max(N_COLUMNS, N_ROWS) * OVERVIEW_CELL_PX); // the overview is one tile
  const source = new OpenSeadragon.TileSource({ width: N_COLUMNS * CELL_PX, height: N_ROWS * CELL_PX, tileSize: TILE_PX, minLevel: 0, maxLevel });
  return Object.assign(source, {
    getTileWidth: side,
    getTileHeight: side,
    getTileUrl: (level, column, row) => TILE_PATH.replace("{cell}", cellPx(level)).replace("{column}", column).replace("{row}", row),
  });
}

function openViewer() {
  const gestures = { clickToZoom: false, dblClickToZoom: false };
  return new OpenSeadragon.Viewer({
    element: holder,
    tileSources: [tileSource()],
    drawer: "canvas", // others cannot read pictures of a page that is opened from disk
    showNavigationControl: false,
    minPixelRatio: 0.8, // so that the overview is enough for the first view
    maxZoomPixelRatio: MAX_CELL_PX / CELL_PX,
    visibilityRatio: 0.3,
    animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.5,
    gestureSettingsMouse: gestures,
    gestureSettingsTouch: gestures,
    gestureSettingsPen: gestures,
  });
}

/* Colours ----------------------------------------------------------------------------------- */

const depthColour = (nth) => `hsl(${260 - (240 * nth) / Math.max(1, mapLayers.length - 1)} 75% 55%)`;

/* By cell, a colour or "" for none. */
const colourOf = {
  "": () => "",
  layer: (cell) => depthColour(layerOf(cell)),
  hue: (cell) => (hues[cell] < 0 ? "" : `hsl(${hues[cell] * HUE_STEP_DEG} 75% 55%)`),
  class: (cell) => (classes[cell] ? `hsl(${(classes[cell] * CLASS_STEP_DEG) % 360} 75% 55%)` : ""),
};

/* What a cell can be chosen by: its layer's name or its class. */
const groupOf = {
  layer: (cell) => mapLayers[layerOf(cell)][0],
  class: (cell) => words[classes[cell] - 1] ?? "",
};

function paint(canvas, { colour, only }) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, N_COLUMNS, N_ROWS);
  const paper = getComputedStyle(holder).backgroundColor;
  unitsOfCells.forEach((_, cell) => {
    const isOther = only && groupOf[colour]?.(cell) !== only;
    if (only && !isOther) return;
    context.globalAlpha = only ? COVER : TINT;
    context.fillStyle = only ? paper : colourOf[colour](cell) || "transparent";
    context.fillRect(columnOf(cell), rowOf(cell), 1, 1);
  });
}

/* The address ------------------------------------------------------------------------------- */

const FRESH = { at: "", px: "", colour: "", only: "", unit: "" };

function stateOfAddress() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const state = { ...FRESH, ...given };
  if (!Object.hasOwn(COLOURS, state.colour)) state.colour = "";
  return state;
}

function writeAddress(state) {
  const kept = Object.entries(state).filter(([name, value]) => name in FRESH && value !== "");
  history.replaceState(null, "", kept.length ? `#${new URLSearchParams(kept)}` : location.pathname + location.search);
}

/* The map ----------------------------------------------------------------------------------- */

class UnitMap {
  constructor() {
    this.state = stateOfAddress();
    this.canvas = element("canvas", { className: "colours", width: N_COLUMNS, height: N_ROWS });
    this.pointed = element("div", { className: "pointed" });
    this.marked = element("div", { className: "marked" });
    this.label = element("p", { className: "label" });
    this.status = element("p", { className: "unseen" });
    this.status.setAttribute("role", "status");
    this.canvas.setAttribute("aria-hidden", "true");
    this.controls = this.makeControls();
    this.key = element("p", { className: "key-of-map" });
    holder.previousElementSibling.replaceWith(this.controls); // whose place was kept, so that nothing moves
    holder.after(this.key, this.status);
    this.viewer = openViewer();
    this.describe(this.viewer.canvas);
    holder.append(this.label);
    this.viewer.addOnceHandler("open", () => this.begin());
  }

  get viewport() {
    return this.viewer.viewport;
  }

  describe(canvas) {
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Map of units. Arrow keys move it, plus and minus come closer and go back, 0 shows all, Enter opens the unit in the middle.");
  }

  begin() {
    this.viewer.addOnceHandler("tile-drawn", () => holder.classList.add("viewed"));
    this.viewer.addOverlay({ element: this.canvas, location: new OpenSeadragon.Rect(0, 0, 1, N_ROWS / N_COLUMNS) });
    this.viewer.addHandler("canvas-click", (event) => event.quick && this.click(event));
    this.viewer.addHandler("canvas-key", (event) => this.press(event));
    this.viewer.addHandler("animation-finish", () => this.remember());
    this.viewer.canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.point(this.cellUnder(event)));
    this.viewer.canvas.addEventListener("pointerleave", () => this.point(undefined));
    addEventListener("hashchange", () => {
      this.state = stateOfAddress();
      this.apply(false);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
    new MutationObserver(() => this.colour()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.apply(true);
  }

  /* Show what the address says. */
  apply(immediately) {
    this.controls.elements.colour.value = this.state.colour;
    this.fillOnly();
    this.colour();
    const cell = cellNamed(this.state.unit);
    this.mark(cell);
    const [column, row] = this.state.at.split(",").map(Number);
    if (this.state.at && Number.isFinite(column) && Number.isFinite(row)) this.show(column, row, Number(this.state.px) || CELL_PX, immediately);
    else if (cell !== undefined) this.show(columnOf(cell) + 0.5, rowOf(cell) + 0.5, MARKED_PX, immediately);
  }

  /* Move to a place, in cells, with cells of a size on the screen. */
  show(column, row, cellPx, immediately = false) {
    this.viewport.zoomTo((cellPx * N_COLUMNS) / this.viewport.getContainerSize().x, null, immediately);
    this.viewport.panTo(new OpenSeadragon.Point(column / N_COLUMNS, row / N_COLUMNS), immediately);
    this.viewport.applyConstraints(immediately);
  }

  get cellPx() {
    return (this.viewport.getContainerSize().x * this.viewport.getZoom()) / N_COLUMNS;
  }

  cellAt(point) {
    const column = Math.floor(point.x * N_COLUMNS), row = Math.floor(point.y * N_COLUMNS);
    const cell = row * N_COLUMNS + column;
    return column >= 0 && column < N_COLUMNS && row >= 0 && cell < unitsOfCells.length ? cell : undefined;
  }

  cellUnder({ clientX, clientY }) {
    const { left, top } = this.viewer.canvas.getBoundingClientRect();
    return this.cellAt(this.viewport.pointFromPixel(new OpenSeadragon.Point(clientX - left, clientY - top), true));
  }

  get middle() {
    return this.cellAt(this.viewport.getCenter());
  }

  click({ position, originalEvent }) {
    const cell = this.cellAt(this.viewport.pointFromPixel(position, true));
    if (cell === undefined) return;
    if (this.cellPx < LEAST_OPENED_PX) this.show(columnOf(cell) + 0.5, rowOf(cell) + 0.5, CLOSER_PX);
    else this.open(cell, originalEvent.ctrlKey || originalEvent.metaKey);
  }

  open(cell, inNewTab = false) {
    const { href } = unitIn(cell);
    if (inNewTab) open(href);
    else location.href = href;
  }

  press(event) {
    const { key } = event.originalEvent;
    if (key === "Enter" && this.middle !== undefined) this.open(this.middle);
    if (!KEPT_KEYS.includes(key)) event.preventDefaultAction = true;
    else this.isByKey = true;
  }

  /* Outline the cell under the pointer, or in the middle, and say what it is. */
  point(cell) {
    if (cell === this.pointedCell) return;
    this.pointedCell = cell;
    this.outline(this.pointed, cell);
    this.name(cell ?? this.markedCell);
  }

  mark(cell) {
    this.markedCell = cell;
    this.outline(this.marked, cell);
    this.name(cell);
    if (cell !== undefined) this.status.textContent = `${this.label.textContent} is marked on the map`;
  }

  outline(frame, cell) {
    this.viewer.removeOverlay(frame);
    if (cell !== undefined) this.viewer.addOverlay({ element: frame, location: rectOf(cell) });
  }

  /* Say under the map's pictures what a cell shows. */
  name(cell) {
    if (cell === undefined) return this.label.replaceChildren();
    const { id, name } = unitIn(cell);
    return this.label.replaceChildren(id, ...(name ? [" ", element("i", { textContent: name })] : []));
  }

  remember() {
    const { x, y } = this.viewport.getCenter();
    const isHome = this.viewport.getZoom() <= this.viewport.getHomeZoom() * 1.01;
    this.state.at = isHome ? "" : `${(x * N_COLUMNS).toFixed(1)},${(y * N_COLUMNS).toFixed(1)}`;
    this.state.px = isHome ? "" : this.cellPx.toFixed(1);
    writeAddress(this.state);
    if (!this.isByKey) return;
    this.isByKey = false;
    this.point(this.middle);
    this.status.textContent = this.middle === undefined ? "" : `In the middle: ${this.label.textContent}`;
  }

  /* Colours and controls */

  colour() {
    paint(this.canvas, this.state);
    const [before = [], swatch, after = []] = this.state.only ? [] : KEYS[this.state.colour] ?? [];
    const said = this.state.only ? [`${this.nShown()} units of “${this.state.only}”; the others are covered`] : before;
    this.key.replaceChildren(...said, ...(swatch ? [element("i", { className: swatch })] : []), ...after);
  }

  nShown() {
    return unitsOfCells.filter((_, cell) => groupOf[this.state.colour](cell) === this.state.only).length.toLocaleString("en");
  }

  makeControls() {
    const select = (name, options) => element("select", { name }, ...options.map(([value, textContent]) => element("option", { value, textContent })));
    const button = (textContent, label, act) => {
      const made = element("button", { type: "button", textContent });
      made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      return made;
    };
    const by = (factor) => () => this.viewport.zoomBy(factor) && this.viewport.applyConstraints();
    this.only = element("label", { hidden: true }, "Only ", select("only", []));
    const form = element(
      "form",
      { className: "map-controls" },
      element("label", {}, "Colour by ", select("colour", this.colours())),
      this.only,
      element("span", { className: "zoom" }, button("+", "Closer", by(2)), button("−", "Back", by(0.5)), button("All", "Show the whole map", () => this.viewport.goHome())),
    );
    form.setAttribute("aria-label", "View of the map");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", ({ target }) => {
      if (target.name === "colour") this.state.only = "";
      this.state[target.name] = target.value;
      this.fillOnly();
      this.colour();
      writeAddress(this.state);
    });
    return form;
  }

  /* The colours that there is something to show of. */
  colours() {
    const has = { "": true, layer: mapLayers.length > 1, hue: hues.some((hue) => hue >= 0), class: classes.some(Boolean) };
    return Object.entries(COLOURS).filter(([name]) => has[name]);
  }

  fillOnly() {
    const group = groupOf[this.state.colour];
    const there = group ? new Set(unitsOfCells.map((_, cell) => group(cell))) : new Set();
    const options = this.state.colour === "layer" ? mapLayers.map(([name]) => name) : [...there].sort((a, b) => a.localeCompare(b));
    const shown = options.filter((text) => text && there.has(text));
    if (!shown.includes(this.state.only)) this.state.only = "";
    this.controls.elements.only.replaceChildren(element("option", { value: "", textContent: "everything" }), ...shown.map((text) => element("option", { value: text, textContent: text })));
    this.controls.elements.only.value = this.state.only;
    this.only.hidden = !shown.length;
  }
}

new UnitMap();
