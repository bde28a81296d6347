// The charts: drawn by plotly when they come near the screen, redrawn for another theme, metric or baseline, and saved.
"use strict";
const pageCharts = (() => {
  const { find, findAll } = page;
  const SPEED = "train_samples_per_s";
  let charts = [];

  // The bundle takes longer to parse than the rest of the page, so it waits until the first chart is needed.
  const loadPlotly = () => {
    const bundle = find("#plotly");
    if (bundle.dataset.loaded) return;
    bundle.dataset.loaded = "yes";
    const script = document.createElement("script");
    script.textContent = bundle.textContent;
    document.head.append(script);
  };

  // On an axis of a decade or more, plotly abbreviates 0.2 as a small 2. Label 1, 2 and 5 of each decade in full instead.
  const decades = [...Array(24).keys()].map((index) => index - 12);
  const tickValues = decades.flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
  const tickTexts = tickValues.map((value) => value.toLocaleString("en", { maximumSignificantDigits: 1 }));
  const setTicks = (axis, values) => {
    const positive = values.filter((value) => value > 0);
    const [low, high] = axis.range ? axis.range.map((power) => 10 ** power) : [Math.min(...positive), Math.max(...positive)];
    if (axis.type !== "log" || !positive.length || high / low <= 6) return { ...axis, tickmode: "auto" };
    return { ...axis, tickmode: "array", tickvals: tickValues, ticktext: tickTexts };
  };
  const ground = () => getComputedStyle(document.body).backgroundColor;
  const applyTheme = (data, layout) => {
    const line = page.isDark() ? "#363d46" : "#d8dee4", ink = page.isDark() ? "#e6e9ed" : "#1b1f24";
    const themeAxis = (name) => ({
      ...setTicks(layout[`${name}axis`], data.flatMap((trace) => trace[name] || [])),
      gridcolor: line,
      linecolor: line,
      tickcolor: line,
    });
    return {
      ...layout,
      xaxis: themeAxis("x"),
      yaxis: themeAxis("y"),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, size: 12, family: "system-ui, sans-serif" },
      hoverlabel: { namelength: -1 },
      shapes: (layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: ink } })),
    };
  };
  const plotOptions = { responsive: true, displaylogo: false, displayModeBar: false };
  const draw = (element, data, layout) => {
    loadPlotly();
    Plotly.react(element, data, applyTheme(data, layout), plotOptions);
    addSaveButtons(element);
  };

  // ---- files of a chart ----
  const fileName = (element, format) => {
    const section = element.closest("section")?.id ?? "chart";
    const title = find("figcaption", element.closest("figure") ?? document.createElement("p"))?.firstChild.textContent ?? "";
    return `${[page.data.run, section, title].filter(Boolean).join(" ").replace(/[^\w-]+/g, "-")}.${format}`;
  };
  const saveChart = async (element, format) => {
    const { width, height } = element.getBoundingClientRect();
    const figure = { data: element.data, layout: { ...element.layout, paper_bgcolor: ground() } };
    const url = await Plotly.toImage(figure, { format, width, height, scale: format === "png" ? 2 : 1 });
    page.save(fileName(element, format), url);
  };
  const addSaveButtons = (element) => {
    if (element.nextElementSibling?.className === "save") return;
    const bar = document.createElement("div");
    bar.className = "save";
    for (const format of ["svg", "png"]) {
      const button = page.addButton(format.toUpperCase(), bar, () => saveChart(element, format));
      button.setAttribute("aria-label", `Save as ${format.toUpperCase()}: ${element.getAttribute("aria-label")}`);
    }
    element.after(bar);
  };

  // ---- the chart of ratios, for the selected metric and baseline ----
  const metricSelect = find("#ratio select");
  const ratioCharts = () => charts.filter(({ element }) => element.closest("#ratio"));
  const listEntries = (family, metric, baseline) => {
    const variants = resultTable.variantsOf(family), entries = [], missing = [];
    for (const { name, title } of variants) {
      const own = name === baseline ? { ratio: 1, low: null, high: null } : null;
      const ratio = own ?? resultTable.ratioTo(family, metric, name, baseline);
      if (ratio) entries.push({ name, ...ratio });
      else missing.push(`${name} is not drawn: ${title(metric) || `not compared with ${baseline}`}`);
    }
    return { entries: entries.sort((a, b) => a.ratio - b.ratio), missing };
  };
  const fillRatioChart = (chart, { entries, missing }, range, label) => {
    const { figure, element } = chart, [dots] = figure.data, markers = entries.map(({ name }) => page.data.markers[name]);
    const known = (value, ratio) => (value === null ? 0 : Math.abs(value - ratio));
    dots.x = entries.map((entry) => entry.ratio);
    dots.y = entries.map((entry) => entry.name);
    dots.marker = { ...dots.marker, color: markers.map(([color]) => color), symbol: markers.map(([, symbol]) => symbol) };
    dots.error_x.array = entries.map((entry) => known(entry.high, entry.ratio));
    dots.error_x.arrayminus = entries.map((entry) => known(entry.low, entry.ratio));
    figure.layout.xaxis.title.text = label;
    figure.layout.xaxis.range = range;
    const holder = element.closest("figure");
    find(".missing", holder)?.remove();
    if (missing.length) {
      const list = page.addElement("ul", "", holder);
      list.className = "missing";
      missing.forEach((text) => page.addElement("li", text, list));
    }
    if (element.data) drawChart(chart);
  };
  const fillRatioTable = (lists) => {
    const table = find("#ratio table.beside");
    if (!table) return;
    table.tBodies[0].replaceChildren();
    table.tHead.rows[0].cells[2].textContent = `${metricSelect.selectedOptions[0].textContent}, ratio to the baseline`;
    for (const { workload, entries } of lists) {
      for (const entry of entries) {
        const isBaseline = entry.name === resultTable.baseline();
        const texts = isBaseline ? ["baseline", "-"] : [pageMath.formatRatio(entry), pageMath.formatInterval(entry) || "-"];
        page.addRow(table.tBodies[0], [workload, entry.name, ...texts]);
      }
    }
  };
  const updateRatioCharts = () => {
    const list = ratioCharts(), metric = metricSelect?.value, baseline = resultTable.baseline();
    const isDefault = metric === SPEED && baseline === defaultBaseline;
    if (!list.length || !baseline || (isDefault && !isChanged)) return;
    isChanged = true;
    const contents = list.map(({ figure }) => listEntries(JSON.stringify(figure.layout.meta.family), metric, baseline));
    const all = contents.flatMap(({ entries }) => entries);
    const ends = all.flatMap(({ low, ratio, high }) => [low, ratio, high]).filter((end) => end > 0);
    const [low, high] = [Math.log10(Math.min(...ends)), Math.log10(Math.max(...ends))];
    const margin = Math.max(0.02, 0.05 * (high - low)), range = [low - margin, high + margin];
    const better = page.data.columns[metric] === "more" ? "right is better →" : "← left is better";
    list.forEach((chart, index) => fillRatioChart(chart, contents[index], range, `ratio to ${baseline}, ${better}`));
    fillRatioTable(list.map(({ figure }, index) => {
      return { workload: resultTable.workloadOf(JSON.stringify(figure.layout.meta.family)), ...contents[index] };
    }));
  };
  let isChanged = false;
  const defaultBaseline = resultTable.baseline();

  // ---- drawing when a chart comes near the screen ----
  const drawChart = ({ element, figure }) => draw(element, figure.data, figure.layout);
  const watch = (element, action) => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      action();
    }, { rootMargin: "400px" });
    observer.observe(element);
  };
  const register = (root) => {
    const added = findAll("figure .plot", root).map((element) => {
      return { element, figure: JSON.parse(element.nextElementSibling.textContent) };
    });
    charts = charts.concat(added);
    added.forEach((chart) => watch(chart.element, () => drawChart(chart)));
  };
  const openPacked = async (details) => {
    const holder = find("script", details);
    if (!details.open || !holder) return;
    holder.remove();
    details.insertAdjacentHTML("beforeend", await page.inflate(holder.textContent));
    findAll(".needs-script", details).forEach((element) => { element.hidden = false; });
    register(details);
    updateRatioCharts();
  };
  findAll("details.packed").forEach((details) => details.addEventListener("toggle", () => openPacked(details)));
  register(find("main"));
  page.onTheme(() => charts.filter(({ element }) => element.data).forEach(drawChart));

  return { draw, watch, updateRatioCharts, metricSelect, ground, drawAll: () => charts.forEach(drawChart) };
})();
