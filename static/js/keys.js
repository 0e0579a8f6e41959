// The list of keys, and the switch that turns single keys off. Loaded when it is first opened.
"use strict";

const KEY_LIST = [
  [["/"], "search"],
  [["←", "→"], "the page before and after"],
  [["u"], "up: from a unit to its layer, from a layer to the network"],
  [["?"], "this list"],
  [["←", "→", "↑", "↓"], "on a unit of a layer: the units beside it"],
  [["←", "→", "Esc"], "in a picture that fills the screen, and in the tour"],
];
const MAP_KEYS = [
  [["←", "→", "↑", "↓"], "on the map: move it"],
  [["+", "−", "0"], "on the map: closer, back, all of it"],
  [["Enter"], "on the map: open the unit in the middle"],
];

function keySwitch() {
  const box = element("input", { type: "checkbox", checked: areKeysOn() });
  box.addEventListener("change", () => {
    try {
      if (box.checked) localStorage.removeItem(KEYS_OFF);
      else localStorage.setItem(KEYS_OFF, "1");
    } catch {
      box.checked = true; // storage is switched off, so they stay on
    }
  });
  return element("label", {}, box, "Keys lead from page to page");
}

function showKeys() {
  document.querySelector("dialog.keys")?.remove();
  const list = document.querySelector(".atlas-map") ? [...KEY_LIST, ...MAP_KEYS] : KEY_LIST;
  const rows = list.map(([keys, words]) => {
    const shown = keys.flatMap((key) => [element("kbd", { textContent: key }), " "]);
    return element("div", {}, element("dt", {}, ...shown), element("dd", { textContent: words }));
  });
  const close = element("button", { type: "button", textContent: "Close" });
  const heading = element("h2", { textContent: "Keys", id: "keys-heading" });
  const dialog = element("dialog", { className: "keys" }, heading, element("dl", { className: "key-list" }, ...rows), keySwitch(), close);
  dialog.setAttribute("aria-labelledby", heading.id);
  close.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
