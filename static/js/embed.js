// One unit in a frame of another page. The address says which: embed.html#layer1.0.conv2:2, perhaps with &theme=dark.
"use strict";

const { classifier: CLASSIFIER } = document.currentScript.dataset; // path of the page of its layer

/* { layer, index, theme } from an address; null where it names no unit. */
function asked(hash) {
  const [unit, ...settings] = hash.slice(1).split("&");
  const [, layer, index] = /^([^:,/\\\s]+):(\d{1,9})$/.exec(decoded(unit)) ?? [];
  return layer ? { layer, index: Number(index), theme: new URLSearchParams(settings.join("&")).get("theme") } : null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // not written by a browser
  }
}

/* The name of a class, or the number of another unit. */
async function nameOf({ layer, index }) {
  if (pathOf(pathSettings.layer, layer) !== CLASSIFIER) return `Unit ${index}`;
  const [{ labels }] = await loadIndices();
  return labels[index] ?? `Class ${index}`;
}

function say(words) {
  const said = document.querySelector("[role=status]");
  said.textContent = words;
  said.hidden = !words;
}

async function showUnit() {
  const link = document.querySelector(".unit-link");
  const unit = asked(location.hash);
  link.hidden = true;
  if (!unit) return say("The address of this frame names no unit; it ends like embed.html#layer1.0.conv2:2.");
  const { layer, index, theme } = unit;
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  const name = await nameOf(unit);
  const picture = element("img", { alt: `Synthetic picture that excites ${name} of ${layer}`, width: 224, height: 224 });
  picture.addEventListener("error", () => {
    picture.remove();
    say("There is no picture of this unit.");
  });
  picture.src = new URL(pathOf(pathSettings.picture, layer, index), root).href;
  link.href = new URL(pathOf(pathSettings.page, layer, index), root).href;
  link.replaceChildren(picture, element("b", { textContent: name }), " ", element("i", { textContent: layer }));
  link.hidden = false;
  say("");
}

addEventListener("DOMContentLoaded", showUnit);
addEventListener("hashchange", showUnit);
