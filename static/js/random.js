// Any unit that has a page, each as likely as any other. Loaded when somebody asks for one.
"use strict";

function randomUnit(indices) {
  const runs = indices.flatMap(({ folder, layers }) => layers.flatMap(([layer, , paged]) => paged.map(([first, last]) => ({ folder, layer, first, n: last - first + 1 }))));
  let nth = Math.floor(Math.random() * runs.reduce((sum, { n }) => sum + n, 0));
  for (const { folder, layer, first, n } of runs) {
    if (nth < n) return folder + pathOf(pathSettings.page, layer, first + nth);
    nth -= n;
  }
  return null;
}
