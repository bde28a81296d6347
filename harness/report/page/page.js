// The start of the page: events of its forms, downloads, printing, and the state that the address holds.
"use strict";
(() => {
  const { find, findAll } = page, { filters } = resultTable, metricSelect = pageCharts.metricSelect;
  const updateRatios = () => {
    resultTable.updateRatios();
    pageCharts.updateRatioCharts();
  };
  const restore = () => {
    page.reload();
    if (metricSelect) metricSelect.value = page.get("metric") || "train_samples_per_s";
    resultTable.restore();
    pageCharts.updateRatioCharts();
    pageWeights.restore();
    if (page.get("at")) page.visit(page.get("at"));
  };
  findAll(".needs-script").forEach((element) => { element.hidden = false; });
  findAll("form").forEach((element) => element.addEventListener("submit", (event) => event.preventDefault()));
  filters.addEventListener("input", ({ target }) => {
    if (target.name === "column") {
      resultTable.chooseColumns();
      return;
    }
    page.set(target.name, target.type === "checkbox" ? (target.checked ? "yes" : null) : target.value);
    resultTable.showColumns();
    resultTable.filterRows();
    if (target.name === "baseline") updateRatios();
  });
  find("button[type=reset]", filters).onclick = (event) => {
    event.preventDefault();
    const names = ["text", "task", "backend", "state", "mark", "baseline", "sort", "columns", "full"];
    names.forEach((name) => page.set(name, null));
    resultTable.restore();
    pageCharts.updateRatioCharts();
  };
  metricSelect?.addEventListener("input", ({ target }) => {
    page.set("metric", target.value);
    pageCharts.updateRatioCharts();
  });
  addEventListener("popstate", restore);
  findAll("a.raw").forEach((link) => link.addEventListener("click", async (event) => {
    event.preventDefault();
    page.saveBlob(link.textContent, new Blob([await page.inflate(link.href.split(",")[1])]));
  }));
  addEventListener("beforeprint", () => {
    findAll("details:not(.packed, .menu)").forEach((element) => { element.open = true; });
    pageCharts.drawAll();
    pageWeights.drawAll();
  });
  const start = async () => {
    await resultTable.addRows();
    resultTable.storeRatios(JSON.parse(await page.inflate(find("#comparisons").textContent)));
    restore();
    document.body.dataset.ready = "yes";
  };
  // The first screen needs no script, so it is painted before the scripts start.
  requestAnimationFrame(() => setTimeout(start));
})();
