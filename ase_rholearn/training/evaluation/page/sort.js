// Tables whose head has buttons are sorted by them: numbers by value, the rest as text.
for (const button of document.querySelectorAll("th button")) {
  button.onclick = () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const column = head.cellIndex, up = head.getAttribute("aria-sort") === "descending";
    const value = row => {
      const cell = row.cells[column], number = parseFloat(cell.dataset.value ?? "");
      return Number.isNaN(number) ? cell.textContent : number;
    };
    const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
      : typeof a === "number" ? 1 : typeof b === "number" ? -1 : a.localeCompare(b);
    const rows = [...body.rows].map(row => [value(row), row]);
    rows.sort(([a], [b]) => up ? compare(a, b) : compare(b, a));
    body.append(...rows.map(([, row]) => row));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  };
}
