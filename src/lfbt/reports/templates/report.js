"use strict";
// Tables are complete without this: it adds sorting, and export as CSV.
const text = (cell) => cell.textContent.trim();
const value = (cell) => { const n = parseFloat(text(cell)); return Number.isNaN(n) ? null : n; };
function sortBy(table, place, button) {
  const head = button.parentElement, down = head.getAttribute("aria-sort") !== "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0], rows = [...body.rows], sign = down ? -1 : 1;
  const numeric = rows.some((row) => value(row.cells[place]) !== null) && !head.classList.contains("t");
  rows.sort((a, b) => {
    const x = a.cells[place], y = b.cells[place];
    if (!numeric) return -sign * text(x).localeCompare(text(y), undefined, { numeric: true });
    const m = value(x), n = value(y);
    return m === null ? (n === null ? 0 : 1) : n === null ? -1 : sign * (m - n);
  });
  body.append(...rows);
}
function field(content) {
  // A spreadsheet would run what begins so.
  const safe = /^[=+@\t\r]|^-(?![0-9.])|^-$/.test(content) ? "'" + content : content;
  return /[",\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
}
function csv(table) {
  const kept = [...table.tHead.rows[0].cells].flatMap((cell, i) => (cell.classList.contains("pic") ? [] : [i]));
  const rows = [...table.tHead.rows, ...table.tBodies[0].rows];
  return rows.map((row) => kept.map((i) => field(text(row.cells[i]))).join(",")).join("\n") + "\n";
}
for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((cell, place) => {
    if (cell.classList.contains("pic") || !table.classList.contains("sort")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => sortBy(table, place, button));
  });
  const save = document.createElement("button");
  save.type = "button";
  save.textContent = "CSV";
  save.setAttribute("aria-label", "Save this table as CSV");
  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
    link.download = table.dataset.name + ".csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  table.caption.append(save);
}
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; one.dataset.shut = ""; }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-shut]")) { one.open = false; delete one.dataset.shut; }
});
