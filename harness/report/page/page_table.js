// The table of results: rows, filters, sorting, columns, and ratios to the baseline.
"use strict";
const resultTable = (() => {
  const { find, findAll } = page;
  const table = find("#cells"), body = table.tBodies[0], filters = find("#filters"), FIRST_METRIC = 3;
  const headings = findAll("th[data-sort]", table);
  const MOST_SHOWN = 300; // rows, until the reader asks for all: the browser takes long to lay out thousands
  let rows = [...body.rows], order = rows, isAll = false;

  // Add the rows that the page holds as compressed HTML.
  const addRows = async () => {
    const rest = find("#more-rows");
    if (rest) body.insertAdjacentHTML("beforeend", await page.inflate(rest.textContent));
    rows = order = [...body.rows];
    rows.slice(MOST_SHOWN).forEach((row) => { row.hidden = true; });
    groupRows();
  };
  const matchesFilters = (row) => {
    const marks = row.dataset.marks.split(" ").filter(Boolean), mark = page.get("mark"), text = page.get("text");
    return (
      ["task", "backend", "state"].every((name) => !page.get(name) || row.dataset[name] === page.get(name)) &&
      (!mark || (mark === "none" ? !marks.length : marks.includes(mark))) &&
      (!text || row.textContent.toLowerCase().includes(text.toLowerCase()))
    );
  };
  const filterRows = () => {
    let count = 0;
    for (const row of order) {
      const isMatch = matchesFilters(row);
      count += isMatch ? 1 : 0;
      row.hidden = !isMatch || (count > MOST_SHOWN && !isAll);
    }
    find("#count").value = `${count} of ${rows.length} cells`;
    find("#all-rows").hidden = isAll || count <= MOST_SHOWN;
  };
  find("#all-rows").onclick = () => {
    isAll = true;
    filterRows();
  };
  const sortRows = () => {
    const [name, direction] = page.get("sort").split(" ");
    const column = headings.findIndex((heading) => heading.dataset.sort === name);
    headings.forEach((heading, index) => {
      if (index === column) heading.setAttribute("aria-sort", direction);
      else heading.removeAttribute("aria-sort");
    });
    const sign = direction === "descending" ? -1 : 1;
    const compareRows = (a, b) => {
      const [x, y] = [a, b].map((row) => row.cells[column].dataset.value);
      if (x === "" || y === "") return (x === "") - (y === ""); // missing values are last in both directions
      return sign * (column >= FIRST_METRIC ? x - y : x.localeCompare(y));
    };
    order = column < 0 ? rows : [...rows].sort(compareRows);
    const current = [...body.rows];
    if (order.some((row, index) => row !== current[index])) body.append(...order);
    filterRows();
  };
  headings.forEach((heading) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.onclick = () => {
      const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      page.set("sort", `${heading.dataset.sort} ${direction}`);
      sortRows();
    };
  });

  // ---- columns ----
  const boxes = findAll("[name=column]", filters), defaults = boxes.filter((box) => box.checked).map((box) => box.value);
  const showColumns = () => {
    const chosen = page.has("columns") ? page.get("columns").split(" ") : defaults;
    boxes.forEach((box) => { box.checked = chosen.includes(box.value); });
    const columnOf = (name) => headings.findIndex((heading) => heading.dataset.sort === name);
    const hidden = boxes.filter((box) => !box.checked).map((box) => columnOf(box.value));
    const rules = hidden.map((index) => `#cells tr > :nth-child(${index + 1}) { display: none }`);
    find("#hidden-columns").textContent = rules.join("\n");
    table.classList.toggle("full", page.get("full") === "yes");
    filters.elements.full.checked = page.get("full") === "yes";
  };
  const chooseColumns = () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    page.set("columns", chosen.join(" ") === defaults.join(" ") ? null : chosen.join(" ") || "none");
    showColumns();
  };

  // ---- ratios, from the comparisons of the report ----
  const ratios = new Map(), familyIndex = new Map();
  const ratioKey = (index, metric, a, b) => `${index}\n${metric}\n${a}\n${b}`;
  const storeRatios = ({ families, rows: pairs }) => {
    families.forEach((family, index) => familyIndex.set(JSON.stringify(family), index));
    for (const [index, metric, a, b, ratio, low, high, separated, more] of pairs) {
      ratios.set(ratioKey(index, metric, a, b), { ratio, low, high, separated: Boolean(separated), more });
    }
  };
  // Return the comparison of two variants in a family, given as JSON; undefined if they are not compared.
  const ratioTo = (family, metric, variant, rival) => {
    const index = familyIndex.get(family), entry = ratios.get(ratioKey(index, metric, variant, rival));
    if (entry) return entry;
    const inverse = ratios.get(ratioKey(index, metric, rival, variant));
    return inverse && { ...inverse, ...pageMath.invertRatio(inverse) };
  };
  const baseline = () => filters.elements.baseline?.value;
  const firstBaseline = baseline();
  let isChanged = false; // whether the ratios are no longer those that the page was written with
  const updateRatios = () => {
    if (!ratios.size || (baseline() === firstBaseline && !isChanged)) return;
    isChanged = true;
    findAll(".baseline").forEach((element) => { element.textContent = baseline(); });
    for (const row of rows) {
      const cells = [...row.cells];
      cells.slice(FIRST_METRIC).forEach((cell, index) => {
        const metric = cell.dataset.metric ?? headings[index + FIRST_METRIC].dataset.sort;
        const ratio = ratioTo(row.dataset.family, metric, row.dataset.variant, baseline()), element = find(".ratio", cell);
        element.textContent = ratio ? pageMath.formatRatio(ratio) : "";
        element.title = ratio ? pageMath.formatInterval(ratio) : "";
      });
    }
  };
  const byFamily = new Map(); // family as JSON -> its rows
  const groupRows = () => {
    for (const row of rows) byFamily.set(row.dataset.family, [...(byFamily.get(row.dataset.family) ?? []), row]);
  };
  const families = () => [...byFamily.keys()];
  const variantsOf = (family) =>
    byFamily.get(family).map((row) => ({
      name: row.dataset.variant,
      title: (metric) => {
        const index = headings.findIndex((heading) => heading.dataset.sort === metric);
        return index < 0 ? "" : row.cells[index].title;
      },
    }));
  const workloadOf = (family) => byFamily.get(family)[0].cells[0].dataset.value;

  const restore = () => {
    filters.reset();
    for (const control of filters.elements) {
      if (["text", "task", "backend", "state", "mark", "baseline"].includes(control.name) && page.has(control.name)) {
        control.value = page.get(control.name);
      }
    }
    showColumns();
    sortRows();
    updateRatios();
  };
  return {
    filters, addRows, filterRows, chooseColumns, showColumns, storeRatios, updateRatios, ratioTo, baseline, families,
    variantsOf, workloadOf, restore,
  };
})();
