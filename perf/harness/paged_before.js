// Runs in every document before the page does: notes long tasks, layout shifts, frames, and when the first amount stood.
window.told = { longTasks: 0, longestTaskMs: 0, layoutShift: 0, renders: 0 };
window.firstAmountMs = null;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) {
    window.told.longTasks += 1;
    window.told.longestTaskMs = Math.max(window.told.longestTaskMs, task.duration);
  }
}).observe({ type: "longtask", buffered: true });
// Rows that change places and new alerts on top of the others are meant to move.
const moved = ({ node }) => node?.nodeName === "TR" || node?.parentElement?.closest?.("tbody, .alert-list") || node?.classList?.contains("alert-list");
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) {
    if (!shift.hadRecentInput && !shift.sources.some(moved)) window.told.layoutShift += shift.value;
  }
}).observe({ type: "layout-shift", buffered: true });
new MutationObserver(() => {
  window.told.renders += 1;
  if (window.firstAmountMs === null && /\d/.test(document.querySelector("main .amount")?.textContent ?? "")) {
    requestAnimationFrame(() => (window.firstAmountMs ??= performance.now()));
  }
}).observe(document, { childList: true, characterData: true, subtree: true });
