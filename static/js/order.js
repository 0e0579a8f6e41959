// In which order a layer's units are shown, and which of them: on the layer's page, and on the page
// of a unit that was reached from a sorted layer, where "next" is the next in that order.
// The order is in the address: #sort=hue+selectivity&by=hue&from=340&to=20
"use strict";

const ORDER = { sort: "", order: "down", by: "", from: "", to: "" };

function readView(defaults) {
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  return Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, asked[name] ?? value]));
}

/* What of a view differs from the defaults, as addresses have it: "#..." or "". */
function viewHash(view, defaults) {
  const changed = Object.entries(view).filter(([name, value]) => name in defaults && value !== defaults[name]);
  const hash = new URLSearchParams(changed).toString();
  return hash && `#${hash}`;
}

const isOrdered = (view) => Boolean(view.sort || view.by || view.order !== ORDER.order);

/* Whether a number is within limits, which are texts and may be empty. */
function isWithin(value, { from, to }, fullTurn) {
  if (value === null) return false;
  const isAbove = from === "" || value >= Number(from), isBelow = to === "" || value <= Number(to);
  const goesRound = fullTurn && from !== "" && to !== "" && Number(from) > Number(to);
  return goesRound ? isAbove || isBelow : isAbove && isBelow;
}

/* The numbers of a layer's units. Units are known by their place in `units`, which is rising. */
class Values {
  constructor({ columns, turns, abouts, units, values, names }) {
    Object.assign(this, { units, names });
    this.columns = columns.map((label, nth) => {
      const [name, unit = ""] = label.split("|");
      return { name, unit, turn: turns[nth], about: abouts[nth], values: values[nth] };
    });
  }

  column(name) {
    return this.columns.find((column) => column.name === name);
  }

  /* The places of the units that a view shows, in its order. */
  places(view) {
    const filter = this.column(view.by);
    const places = [...this.units.keys()];
    const kept = filter ? places.filter((place) => isWithin(filter.values[place], view, filter.turn)) : places;
    return this.sorted(kept, view);
  }

  sorted(places, { sort, order }) {
    const sign = order === "up" ? 1 : -1;
    const { names } = this;
    if (sort === "name" && names.length) return places.sort((a, b) => -sign * names[a].localeCompare(names[b]));
    const values = this.column(sort)?.values;
    if (!values) return order === "up" ? places.reverse() : places;
    return places.sort((a, b) => {
      const [first, second] = [values[a], values[b]];
      if (first === null || second === null) return (first === null) - (second === null); // missing values come last in both directions
      return sign * (first - second); // equal values stay in order, because sorting is stable
    });
  }
}

const valuesOfLayers = new Map(); // promises: each script is loaded once, and all set the same variable

// A script, because pages opened from disk may not fetch files.
function loadValues(layer) {
  if (!valuesOfLayers.has(layer)) valuesOfLayers.set(layer, loadScript(new URL(pathOf(pathSettings.values, layer), root)).then(() => new Values(self.atlasValues)));
  return valuesOfLayers.get(layer);
}

/* On a unit's page: the links to the layer and to the neighbours keep the view. */
async function keepOrder(main) {
  const view = readView(ORDER);
  if (!isOrdered(view)) return;
  const [layer, index] = main.dataset.unit.split(":");
  const values = await loadValues(layer);
  const places = values.places(view);
  const at = places.findIndex((place) => values.units[place] === Number(index));
  const pager = main.querySelector(".pager");
  if (at < 0 || !pager) return;
  const neighbour = (rel, place) => {
    if (place === undefined) return [];
    const unit = values.units[place];
    const href = new URL(pathOf(pathSettings.page, layer, unit), root).href + location.hash;
    return [element("a", { rel, href, textContent: values.names[place] ?? unit })];
  };
  pager.replaceChildren(...neighbour("prev", places[at - 1]), ...neighbour("next", places[at + 1]));
}
