// The atlas may live at / or at /<repo>/, and the missing address at any depth below it.
// Its root is the nearest folder above that has a manifest.
"use strict";
(async () => {
  if (location.protocol === "file:") return; // the links are right as they are
  const parts = location.pathname.split("/").slice(0, -1);
  for (; parts.length; parts.pop()) {
    const root = parts.join("/") + "/";
    try {
      const found = await fetch(root + "manifest.json", { method: "HEAD" });
      if (found.ok) {
        for (const link of document.querySelectorAll("a[href$='.html']")) {
          link.href = root + link.getAttribute("href");
        }
        return;
      }
    } catch {
      return; // no host any more
    }
  }
})();
