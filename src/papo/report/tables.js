/* A click on a column's head sorts its table: ascending, then descending. What has no value stays last. */

const NO_VALUE = "–";
const collator = new Intl.Collator("en", { numeric: true });

/* null stays behind everything in either direction; equal values keep their order. */
function compare(a, b, descending) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : collator.compare(a, b);
  return descending ? -order : order;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const numeric = head.classList.contains("number");
    const value = (row) => {
      const cell = row.cells[column];
      if (numeric) return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
      return cell.textContent === NO_VALUE ? null : cell.textContent;
    };
    head.firstElementChild.addEventListener("click", () => {
      const descending = head.ariaSort === "ascending";
      heads.forEach((other) => (other.ariaSort = "none"));
      head.ariaSort = descending ? "descending" : "ascending";
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b), descending)));
    });
  });
}
