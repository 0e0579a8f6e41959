// Runs before the page is drawn, so that a chosen theme never flashes the other one.
"use strict";
try {
  const theme = localStorage.getItem("atlas-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be switched off; the system's theme it is.
}
