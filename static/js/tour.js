// The tour as slides: left and right, or the buttons, go from unit to unit, on the full screen for
// lectures. Without this script the tour is read by scrolling.
"use strict";

addEventListener("DOMContentLoaded", () => {
  const main = document.querySelector("main.tour");
  const stops = [...main.querySelectorAll(".steps > li")];
  const place = element("span");
  place.setAttribute("role", "status");

  // The stop whose middle is nearest to that of the screen.
  const current = () => {
    const off = stops.map((stop) => {
      const { top, bottom } = stop.getBoundingClientRect();
      return Math.abs((top + bottom) / 2 - innerHeight / 2);
    });
    return off.indexOf(Math.min(...off));
  };
  const tell = (at = current()) => (place.textContent = `${at + 1} of ${stops.length}`);
  const go = (at) => {
    const stop = Math.max(0, Math.min(stops.length - 1, at));
    if (stop) stops[stop].scrollIntoView({ behavior: "instant" });
    else scrollTo({ top: 0, behavior: "instant" }); // the first one is below the title
    tell(stop);
  };
  const button = (text, label, act) => {
    const made = element("button", { type: "button", textContent: text });
    if (label) made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  const full = button("Full screen", "", () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()));
  document.addEventListener("fullscreenchange", () => (full.textContent = document.fullscreenElement ? "Leave full screen" : "Full screen"));
  const bar = element("p", { className: "slides" }, button("←", "Previous step", () => go(current() - 1)), place, button("→", "Next step", () => go(current() + 1)), ...(document.fullscreenEnabled ? [full] : []));
  main.append(bar);
  addEventListener("scroll", () => tell(), { passive: true });
  addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const isElsewhere = event.target.closest?.("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (!step || isElsewhere || event.repeat) return;
    event.preventDefault();
    go(current() + step);
  });
  tell();
});
