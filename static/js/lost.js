// The atlas may be at / or at /<repo>/, and the missing address at any depth below it.
// Its root is the nearest folder above that has a manifest.
"use strict";
const manifest = document.currentScript.dataset.manifest;
(async () => {
  if (location.protocol === "file:") return; // opened from disk, so the relative links are right
  const parts = location.pathname.split("/").slice(0, -1);
  for (; parts.length; parts.pop()) {
    const root = parts.join("/") + "/";
    try {
      const response = await fetch(root + manifest, { method: "HEAD" });
      if (response.ok) {
        for (const link of document.querySelectorAll("a[href$='.html']")) {
          link.href = root + link.getAttribute("href");
        }
        return;
      }
    } catch {
      return; // the host does not answer
    }
  }
})();
