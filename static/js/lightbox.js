// Any picture of a unit's page, or of the tour, fills the screen when it is pressed; left and right
// go on to the page's other pictures. Escape closes it, and the focus is where it was.
// Loaded when a picture is pressed.
"use strict";

class Lightbox {
  constructor(pictures) {
    this.pictures = pictures;
    const button = (text, label, act) => {
      const made = element("button", { type: "button", textContent: text });
      if (label) made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      return made;
    };
    this.place = element("span");
    this.figure = element("figure");
    this.full = button("Full screen", "", () => this.toggleFullScreen());
    const bar = element(
      "p",
      {},
      button("←", "Previous picture", () => this.show(this.at - 1)),
      this.place,
      button("→", "Next picture", () => this.show(this.at + 1)),
      ...(document.fullscreenEnabled ? [this.full] : []),
      button("Close", "", () => this.dialog.close()),
    );
    this.screen = element("div", {}, this.figure, bar); // a dialog itself may not fill the screen
    this.dialog = element("dialog", { className: "lightbox" }, this.screen);
    this.dialog.setAttribute("aria-label", "Picture");
    this.listen();
    document.body.append(this.dialog);
  }

  listen() {
    this.dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      event.preventDefault();
      this.show(this.at + step);
    });
    this.dialog.addEventListener("click", ({ target }) => [this.dialog, this.screen, this.figure].includes(target) && this.dialog.close());
    this.dialog.addEventListener("close", () => document.fullscreenElement && document.exitFullscreen());
    document.addEventListener("fullscreenchange", () => (this.full.textContent = document.fullscreenElement ? "Leave full screen" : "Full screen"));
  }

  open(at) {
    this.dialog.showModal();
    this.show(at);
  }

  show(at) {
    const n = this.pictures.length;
    this.at = (at + n) % n;
    const picture = this.pictures[this.at];
    for (const image of picture.parentElement.querySelectorAll("img[data-src]:not([src])")) fetchPicture(image);
    const caption = photographWords(picture) ?? picture.closest("figure").querySelector("figcaption")?.innerText ?? picture.alt;
    this.figure.replaceChildren(enlarged(picture), element("figcaption", { textContent: caption.trim().replace(/\s*\n\s*/g, " · ") }));
    this.place.textContent = `${this.at + 1} of ${n}`;
  }

  toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.screen.requestFullscreen();
  }
}

function photographWords(picture) {
  const words = photographLink(picture)?.innerText.trim();
  return words && picture.matches(".crop") ? `${words}; outlined is the part that the unit sees` : words;
}

/* A copy of a picture that is as large as the screen allows. */
function enlarged(picture) {
  const { width, height } = picture.getBoundingClientRect();
  const copy = picture.cloneNode(true);
  for (const each of [copy, ...copy.querySelectorAll("[id]")]) each.removeAttribute("id");
  for (const name of ["tabindex", "role", "aria-haspopup", "loading", "width", "height"]) copy.removeAttribute(name);
  copy.classList.remove("frame");
  if (copy.localName === "svg") copy.setAttribute("role", "img");
  copy.setAttribute("aria-label", pictureName(picture).replace(/^Enlarge: /, ""));
  if (copy.localName === "span") copy.removeAttribute("aria-label"); // the picture inside has a name
  copy.style.setProperty("--shape", width / height);
  copy.style.imageRendering = picture.matches(".crop") ? "auto" : getComputedStyle(picture).imageRendering;
  return copy;
}

let lightbox = null;

function enlarge(pictures, picture) {
  lightbox ??= new Lightbox(pictures);
  lightbox.open(pictures.indexOf(picture));
}
