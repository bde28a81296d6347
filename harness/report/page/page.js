// The interactive parts of the page: sorting, filters, baselines, weights, charts, downloads. The hash keeps the state.
"use strict";
(() => {
  const SPEED = "train_samples_per_s";
  const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C"];
  const find = (selector, root = document) => root.querySelector(selector);
  const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];
  const addElement = (tag, text, parent) => {
    const element = document.createElement(tag);
    element.textContent = text;
    return parent ? parent.appendChild(element) : element;
  };
  const addRow = (parent, cells, firstTag = "td") => {
    const row = addElement("tr", "", parent);
    cells.forEach((text, index) => addElement(index ? "td" : firstTag, text, row));
    return row;
  };
  const inflate = async (link) => {
    const bytes = Uint8Array.from(atob(link.href.split(",")[1]), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };

  // ---- the hash: a state, or the anchor of a section ----
  const anchors = new Set(findAll("[id]").map((element) => element.id));
  const isAnchor = () => anchors.has(location.hash.slice(1));
  const readState = () => new URLSearchParams(isAnchor() ? "" : location.hash.slice(1));
  let state = readState();
  const saveState = (name, value) => {
    if (value === "" || value === null) state.delete(name);
    else state.set(name, value);
    history.replaceState(null, "", "#" + state);
  };

  // ---- the table ----
  const table = find("#cells"), body = table.tBodies[0], rows = [...body.rows], filters = find("#filters");
  const headings = findAll("th[data-sort]", table);
  const filterRows = () => {
    const choice = (name) => state.get(name) || "";
    const text = choice("text").toLowerCase(), mark = choice("mark");
    const lacksMark = (marks) => (mark === "none" ? marks.length > 0 : !marks.includes(mark));
    for (const row of rows) {
      const marks = row.dataset.marks.split(" ").filter(Boolean);
      row.hidden =
        ["task", "backend", "state"].some((name) => choice(name) && row.dataset[name] !== choice(name)) ||
        (mark && lacksMark(marks)) ||
        !row.textContent.toLowerCase().includes(text);
    }
    find("#count").value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} cells`;
  };
  const sortRows = () => {
    const [name, direction] = (state.get("sort") || "").split(" ");
    const column = headings.findIndex((heading) => heading.dataset.sort === name);
    headings.forEach((heading, index) => {
      if (index === column) heading.setAttribute("aria-sort", direction);
      else heading.removeAttribute("aria-sort");
    });
    const sign = direction === "descending" ? -1 : 1;
    const compareRows = (a, b) => {
      const [x, y] = [a, b].map((row) => row.cells[column].dataset.value);
      if (x === "" || y === "") return (x === "") - (y === ""); // missing values are last in both directions
      return sign * (column > 2 ? x - y : x.localeCompare(y));
    };
    body.append(...(column < 0 ? rows : [...rows].sort(compareRows)));
  };
  headings.forEach((heading) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.onclick = () => {
      const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      saveState("sort", `${heading.dataset.sort} ${direction}`);
      sortRows();
    };
  });

  // ---- ratios to the baseline, from the comparisons of report.json ----
  const ratios = new Map();
  const ratioKey = (family, metric, a, b) => JSON.stringify([...family, metric, a, b]);
  const ratioTo = (family, metric, variant, baseline) => ratios.get(ratioKey(family, metric, variant, baseline));
  const storeRatios = (report) => {
    // report.json has the names of backends where the page has titles.
    const titles = new Map(report.profiles.map((profile) => [profile.backend, profile.title]));
    const variants = new Map(
      report.cells.map(({ backend, mode }) => [`${backend} ${mode}`, `${titles.get(backend)} ${mode}`]),
    );
    for (const pair of report.comparisons) {
      const family = [pair.task, pair.device, pair.precision, pair.batch_size];
      const a = variants.get(pair.a), b = variants.get(pair.b);
      ratios.set(ratioKey(family, pair.metric, a, b), { ratio: pair.ratio, low: pair.low, high: pair.high });
      ratios.set(ratioKey(family, pair.metric, b, a), pageMath.invertRatio(pair));
    }
  };
  const selectedBaseline = () => filters.elements.baseline?.value;
  const updateRatios = () => {
    const baseline = selectedBaseline();
    if (!ratios.size || !baseline) return;
    findAll(".baseline").forEach((element) => { element.textContent = baseline; });
    for (const row of rows) {
      const family = JSON.parse(row.dataset.family);
      for (const cell of findAll("td[data-metric]", row)) {
        const ratio = ratioTo(family, cell.dataset.metric, row.dataset.variant, baseline);
        const element = find(".ratio", cell);
        if (element) element.textContent = ratio ? pageMath.formatRatio(ratio) : "";
      }
    }
  };

  // ---- charts ----
  const darkScheme = matchMedia("(prefers-color-scheme: dark)"), print = matchMedia("print");
  const isDark = () => darkScheme.matches && !print.matches;
  const charts = findAll("figure .plot").map((element) => {
    return { element, figure: JSON.parse(element.nextElementSibling.textContent) };
  });
  // On an axis of a decade or more, plotly abbreviates 0.2 as a small 2. Label 1, 2 and 5 of each decade in full instead.
  const decades = [...Array(24).keys()].map((index) => index - 12);
  const tickValues = decades.flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
  const tickTexts = tickValues.map((value) => value.toLocaleString("en", { maximumSignificantDigits: 1 }));
  const setTicks = (axis, values) => {
    const positive = values.filter((value) => value > 0);
    const isWide = Math.max(...positive) / Math.min(...positive) > 6;
    if (axis.type !== "log" || !positive.length || !isWide) return { ...axis, tickmode: "auto" };
    return { ...axis, tickmode: "array", tickvals: tickValues, ticktext: tickTexts };
  };
  const applyTheme = (data, layout) => {
    const line = isDark() ? "#363d46" : "#d8dee4", ink = isDark() ? "#e6e9ed" : "#1b1f24";
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
  const draw = (element, data, layout) => Plotly.react(element, data, applyTheme(data, layout), plotOptions);
  const drawChart = ({ element, figure }) => draw(element, figure.data, figure.layout);

  // ---- the chart of ratios, for the selected metric and baseline ----
  const ratioSection = find("#ratio"), metricSelect = find("#ratio select");
  const ratioCharts = charts.filter(({ element }) => ratioSection?.contains(element));
  const appearances = {};
  for (const { figure } of ratioCharts) {
    const { y, marker } = figure.data[0];
    y.forEach((name, index) => { appearances[name] = { color: marker.color[index], symbol: marker.symbol[index] }; });
  }
  const listRatios = (familyText, metric, baseline, isLessBetter) => {
    const family = JSON.parse(familyText), itself = { ratio: 1, low: null, high: null };
    return rows
      .filter((row) => JSON.stringify(JSON.parse(row.dataset.family)) === familyText)
      .map((row) => row.dataset.variant)
      .map((name) => ({ name, ...(name === baseline ? itself : ratioTo(family, metric, name, baseline)) }))
      .filter((entry) => entry.ratio)
      .sort((a, b) => (isLessBetter ? b.ratio - a.ratio : a.ratio - b.ratio));
  };
  const setRatios = (trace, entries) => {
    trace.x = entries.map((entry) => entry.ratio);
    trace.y = entries.map((entry) => entry.name);
    trace.marker = {
      size: 10,
      color: entries.map((entry) => appearances[entry.name]?.color),
      symbol: entries.map((entry) => appearances[entry.name]?.symbol),
    };
    trace.error_x = {
      ...trace.error_x,
      array: entries.map((entry) => (entry.high ?? entry.ratio) - entry.ratio),
      arrayminus: entries.map((entry) => entry.ratio - (entry.low ?? entry.ratio)),
    };
  };
  const updateRatioCharts = () => {
    const baseline = selectedBaseline();
    if (!ratios.size || !baseline || !ratioSection) return;
    const metric = metricSelect.value || SPEED, label = metricSelect.selectedOptions[0].textContent;
    const isLessBetter = find(`th[data-sort=${metric}]`).textContent.includes("↓");
    const companion = find("table", ratioSection), companionRows = companion.tBodies[0];
    companion.tHead.rows[0].cells[2].textContent = `${label}, ratio to the baseline`;
    companionRows.replaceChildren();
    for (const chart of ratioCharts) {
      const { element, figure } = chart, title = find("figcaption", element.parentNode).textContent;
      const entries = listRatios(JSON.stringify(figure.layout.meta.family), metric, baseline, isLessBetter);
      setRatios(figure.data[0], entries);
      const direction = isLessBetter ? "← left is better" : "right is better →";
      figure.layout.xaxis.title.text = `${label}, ratio to ${baseline}<br>${direction}`;
      for (const entry of entries) {
        const text = entry.name === baseline ? "baseline" : pageMath.formatRatio(entry);
        addRow(companionRows, [title, entry.name, text]);
      }
      if (element.data) drawChart(chart);
    }
  };

  // ---- weights ----
  const weighing = JSON.parse(find("#weighing").textContent), form = find("#weights");
  const criteria = Object.keys(weighing.criteria), useCaseSelect = form.elements["use-case"];
  const sliders = Object.fromEntries(criteria.map((name) => [name, form.elements["w." + name]]));
  const showScores = ({ leader, comparisons, excluded }) => {
    const scores = find("#scores").tBodies[0], factor = pageMath.formatFactor;
    scores.replaceChildren();
    if (leader) addRow(scores, [leader, "1.00", "", ""], "th");
    for (const { name, gap, low, high, repeats } of comparisons) {
      const interval = repeats > 1 ? `[${factor(low)}, ${factor(high)}]` : "one repeat";
      addRow(scores, [name, factor(gap), interval, ""], "th");
    }
    for (const [name, reason] of Object.entries(excluded)) addRow(scores, [name, "–", "", reason], "th");
  };
  const describeSegment = ({ name, from, to }) =>
    `${name} from ${pageMath.formatPercent(from)} to ${pageMath.formatPercent(to)}`;
  const showWinners = ({ weights, winners }) => {
    const changes = find("#changes").tBodies[0];
    changes.replaceChildren();
    for (const [name, segments] of Object.entries(winners)) {
      const texts = [pageMath.formatPercent(weights[name]), segments.map(describeSegment).join(", then ")];
      addRow(changes, [weighing.criteria[name].about, ...texts], "th");
    }
  };
  const winnerTrace = (name, index, segments) => ({
    type: "bar",
    orientation: "h",
    name,
    y: segments.map((segment) => segment.about),
    base: segments.map((segment) => segment.from),
    x: segments.map((segment) => segment.to - segment.from),
    text: segments.map((segment) => (segment.to - segment.from > 0.1 ? name : "")),
    textposition: "inside",
    insidetextanchor: "middle",
    insidetextfont: { color: "#000" },
    hovertemplate: `${name}<extra></extra>`,
    marker: { color: COLOURS[index % COLOURS.length], opacity: 0.75 },
  });
  const drawWinners = ({ weights, winners }) => {
    const names = Object.keys(winners), about = (name) => weighing.criteria[name].about;
    const segments = names.flatMap((name) => winners[name].map((segment) => ({ about: about(name), ...segment })));
    const data = Object.keys(weighing.candidates)
      .map((name, index) => winnerTrace(name, index, segments.filter((segment) => segment.name === name)))
      .filter((trace) => trace.y.length);
    data.push({
      type: "scatter",
      mode: "markers",
      x: names.map((name) => weights[name]),
      y: names.map(about),
      name: "current weight",
      marker: { symbol: "line-ns-open", size: 22, line: { width: 3 }, color: isDark() ? "#fff" : "#000" },
    });
    draw(find("#flips"), data, {
      barmode: "overlay",
      height: 120 + 30 * names.length,
      margin: { l: 10, r: 10, t: 10, b: 10 },
      legend: { orientation: "h", y: -0.25 },
      xaxis: { range: [-0.01, 1.01], tickformat: ".0%", title: { text: "weight of the criterion" }, automargin: true },
      yaxis: { automargin: true, autorange: "reversed" },
    });
  };
  const updateWeights = () => {
    const sliderWeights = Object.fromEntries(criteria.map((name) => [name, +sliders[name].value]));
    const result = pageMath.weigh(weighing, useCaseSelect.value, sliderWeights);
    for (const name of criteria) {
      sliders[name].nextElementSibling.value = pageMath.formatPercent(result.weights[name]);
    }
    const requirements = ["runs and is verified equal", ...weighing.use_cases[useCaseSelect.value].requirements];
    find("#requirements").textContent = `Requirements: ${requirements.join(", ")}.`;
    find("#criteria-file").href = "data:application/json," + encodeURIComponent(JSON.stringify(sliderWeights));
    find("#verdict").textContent = result.text;
    showScores(result);
    showWinners(result);
    if (result.verdict) drawWinners(result);
  };
  const setUseCaseWeights = () => {
    const { weights } = weighing.use_cases[useCaseSelect.value];
    criteria.forEach((name) => { sliders[name].value = weights[name]; });
  };

  // ---- state and events ----
  const restore = () => {
    state = readState();
    filters.reset();
    for (const control of filters.elements) {
      if (control.name && state.has(control.name)) control.value = state.get(control.name);
    }
    if (metricSelect) metricSelect.value = state.get("metric") || SPEED;
    useCaseSelect.value = state.get("use-case") || weighing.default;
    if (useCaseSelect.selectedIndex < 0) useCaseSelect.value = weighing.default;
    setUseCaseWeights();
    for (const name of criteria) {
      if (state.has("w." + name)) sliders[name].value = state.get("w." + name);
    }
    filterRows();
    sortRows();
    updateRatios();
    updateRatioCharts();
    updateWeights();
  };
  findAll(".needs-script").forEach((element) => { element.hidden = false; });
  findAll("form").forEach((element) => element.addEventListener("submit", (event) => event.preventDefault()));
  filters.addEventListener("input", ({ target }) => {
    saveState(target.name, target.value);
    filterRows();
    if (target.name !== "baseline") return;
    updateRatios();
    updateRatioCharts();
  });
  find("button[type=reset]", filters).onclick = (event) => {
    event.preventDefault();
    ["text", "task", "backend", "state", "mark", "baseline", "sort"].forEach((name) => saveState(name, null));
    restore();
  };
  metricSelect?.addEventListener("input", ({ target }) => {
    saveState("metric", target.value);
    updateRatioCharts();
  });
  form.addEventListener("input", ({ target }) => {
    saveState(target.name, target.value);
    if (target === useCaseSelect) {
      setUseCaseWeights();
      criteria.forEach((name) => saveState("w." + name, null));
    }
    updateWeights();
  });
  findAll("a.word").forEach((link) => link.addEventListener("click", () => { find("#words").open = true; }));
  addEventListener("hashchange", () => { if (!isAnchor()) restore(); });
  findAll("a.raw").forEach((link) => link.addEventListener("click", async (event) => {
    event.preventDefault();
    const inflated = addElement("a", "");
    inflated.href = URL.createObjectURL(new Blob([await inflate(link)]));
    inflated.download = link.textContent;
    inflated.click();
    setTimeout(() => URL.revokeObjectURL(inflated.href), 60000);
  }));
  const observer = new IntersectionObserver((entries) => {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      observer.unobserve(target);
      drawChart(charts.find(({ element }) => element === target));
    }
  }, { rootMargin: "600px" });
  charts.forEach(({ element }) => observer.observe(element));
  darkScheme.addEventListener("change", () => {
    charts.filter(({ element }) => element.data).forEach(drawChart);
    updateWeights();
  });
  addEventListener("beforeprint", () => {
    findAll("details").forEach((element) => { element.open = true; });
    charts.forEach(drawChart);
  });
  restore();
  inflate(find("a.raw")).then((text) => {
    storeRatios(JSON.parse(text));
    updateRatios();
    updateRatioCharts();
    document.body.dataset.ready = "yes";
  });
})();
