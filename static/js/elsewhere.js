// In a site of several atlases, a unit's page links to the same unit in others: those that have the
// same layers, and for a class also the same classes. Without this script it links to all atlases.
"use strict";

const othersUrl = new URL(document.currentScript.dataset.atlases, location.href);
const ownAtlas = decodeURIComponent(root.pathname.split("/").at(-2));

/* The names of the other atlases that have a page of a unit, such as "layer1.0.conv2:3". */
function atlasesWith(atlases, id) {
  const own = atlases[ownAtlas];
  const [layer, index] = id.split(":");
  const isSame = (other) =>
    other.architecture === own.architecture &&
    isIn(other.pages[layer] ?? [], Number(index)) &&
    (layer !== own.classifier || other.classes === own.classes);
  return Object.keys(atlases).filter((name) => own && name !== ownAtlas && isSame(atlases[name]));
}

function showElsewhere() {
  const line = document.querySelector(".elsewhere");
  const id = document.querySelector("main").dataset.unit;
  const [layer, index] = id.split(":");
  const links = atlasesWith(self.atlases, id).map((name) => {
    const path = `../${encodeURIComponent(name)}/${pathOf(pathSettings.page, layer, Number(index))}`;
    return element("a", { href: new URL(path, root).href, textContent: name });
  });
  if (!links.length) line.textContent = "No other atlas here has this unit.";
  else line.replaceChildren("The same unit in ", ...links.flatMap((link, nth) => (nth ? [", ", link] : [link])));
}

addEventListener("DOMContentLoaded", () => {
  // A script, because pages opened from disk may not fetch files.
  const script = element("script", { src: othersUrl.href });
  script.onload = showElsewhere;
  document.head.append(script);
});
