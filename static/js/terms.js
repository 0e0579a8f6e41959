// What a term means, beside the term: by a click or tap, by Enter, or when a mouse rests on it.
"use strict";

const REST_MS = 350; // how long a mouse rests on a term before its meaning is shown
const LEAVE_MS = 250; // and may be elsewhere before it is gone

let note = null; // what is shown now, with `link`, the term, and `isAsked`: it stays until it is closed
let waiting = 0;

/* Show what a term means; at once if it was asked for, else as soon as the mouse has rested on it. */
function showTerm(link, isAsked, byKey) {
  clearTimeout(waiting);
  if (note?.link === link) {
    note.isAsked ||= isAsked;
    return;
  }
  const [term, words] = self.atlasGlossary[link.hash.slice(1)] ?? [];
  if (words && isAsked) openNote(link, term, words, true, byKey);
  else if (words) waitFor(link, () => openNote(link, term, words, false, false));
  else if (isAsked) location.href = link.href;
}

function waitFor(link, act) {
  waiting = setTimeout(() => link.matches(":hover") && act(), REST_MS);
  link.addEventListener("pointerleave", () => clearTimeout(waiting), { once: true });
}

function openNote(link, term, words, isAsked, byKey) {
  closeNote();
  const more = element("a", { href: link.href, textContent: "In the glossary" });
  const made = element("span", { className: "term", popover: "auto", tabIndex: -1, autofocus: byKey },
    element("b", { textContent: term }), " ", words, " ", more);
  made.setAttribute("role", "note");
  made.setAttribute("aria-label", term);
  link.after(made); // so that the tabulator key leads from the term to the note
  link.setAttribute("aria-expanded", "true");
  note = { link, made, isAsked };
  made.addEventListener("toggle", (event) => event.newState === "closed" && note?.made === made && closeNote());
  made.showPopover();
  place();
}

function closeNote() {
  if (!note) return;
  const { link, made } = note;
  note = null;
  link.removeAttribute("aria-expanded");
  made.remove();
}

/* Below the term, or above it where there is no room, and inside the window. */
function place() {
  if (!note) return;
  const { link, made } = note;
  const { left, top, bottom } = link.getBoundingClientRect();
  const { width, height } = made.getBoundingClientRect();
  const below = bottom + 8, above = top - height - 8;
  made.style.left = `${Math.max(16, Math.min(left, innerWidth - width - 16))}px`;
  made.style.top = `${below + height > innerHeight && above > 0 ? above : below}px`;
}

addEventListener("pointermove", () => {
  if (!note || note.isAsked) return;
  const isNear = note.link.matches(":hover") || note.made.matches(":hover");
  if (isNear) note.leaving = clearTimeout(note.leaving);
  else note.leaving ??= setTimeout(() => note && !note.isAsked && closeNote(), LEAVE_MS);
});

addEventListener("scroll", place, { passive: true });
addEventListener("resize", place);
