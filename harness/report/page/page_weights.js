// The weighing of candidates by the sliders, and the verdict on two of them.
"use strict";
const pageWeights = (() => {
  const { find } = page;
  const weighing = JSON.parse(find("#weighing").textContent), form = find("#weights");
  const criteria = Object.keys(weighing.criteria), useCaseSelect = form.elements["use-case"], zeros = form.elements.zeros;
  const sliders = Object.fromEntries(criteria.map((name) => [name, form.elements["w." + name]]));
  const readWeights = () => Object.fromEntries(criteria.map((name) => [name, +sliders[name].value]));

  const showScores = ({ leader, comparisons, excluded }) => {
    const scores = find("#scores").tBodies[0], factor = pageMath.formatFactor;
    scores.replaceChildren();
    if (leader) page.addRow(scores, [leader, "1.00", "", ""], "th");
    for (const { name, gap, low, high, repeats } of comparisons) {
      const interval = repeats > 1 ? `${factor(low)} to ${factor(high)}` : "one repeat";
      page.addRow(scores, [name, factor(gap), interval, ""], "th");
    }
    for (const [name, reason] of Object.entries(excluded)) page.addRow(scores, [name, "-", "", reason], "th");
  };
  const describeSegment = ({ name, from, to }) =>
    `${name} from ${pageMath.formatPercent(from)} to ${pageMath.formatPercent(to)}`;
  // Criteria without weight are hidden unless the reader asks for them.
  const keepShown = ({ weights, winners }) =>
    Object.fromEntries(Object.entries(winners).filter(([name]) => zeros.checked || weights[name] > 0));
  const showWinners = (weights, winners) => {
    const changes = find("#changes").tBodies[0];
    changes.replaceChildren();
    for (const [name, segments] of Object.entries(winners)) {
      const texts = [pageMath.formatPercent(weights[name]), segments.map(describeSegment).join(", then ")];
      page.addRow(changes, [weighing.criteria[name].about, ...texts], "th");
    }
  };
  const winnerTrace = (name, segments) => ({
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
    marker: { color: page.data.colors[name], opacity: 0.75 },
  });
  let isChartNear = false;
  const drawWinners = (weights, winners) => {
    const names = Object.keys(winners), about = (name) => weighing.criteria[name].about;
    if (!isChartNear || !names.length) return;
    const segments = names.flatMap((name) => winners[name].map((segment) => ({ about: about(name), ...segment })));
    const data = Object.keys(weighing.candidates)
      .map((name) => winnerTrace(name, segments.filter((segment) => segment.name === name)))
      .filter((trace) => trace.y.length);
    data.push({
      type: "scatter",
      mode: "markers",
      x: names.map((name) => weights[name]),
      y: names.map(about),
      name: "current weight",
      marker: { symbol: "line-ns-open", size: 22, line: { width: 3 }, color: page.isDark() ? "#fff" : "#000" },
    });
    pageCharts.draw(find("#flips"), data, {
      barmode: "overlay",
      height: 120 + 30 * names.length,
      margin: { l: 10, r: 10, t: 10, b: 10 },
      legend: { orientation: "h", y: -0.25 },
      xaxis: { range: [-0.01, 1.01], tickformat: ".0%", title: { text: "weight of the criterion" }, automargin: true },
      yaxis: { automargin: true, autorange: "reversed" },
    });
  };
  const hideZeros = () => {
    const unweighted = criteria.filter((name) => +sliders[name].value === 0);
    for (const name of criteria) sliders[name].closest("label").hidden = !zeros.checked && unweighted.includes(name);
    find("#zero-count").textContent = `(${unweighted.length})`;
  };
  const update = () => {
    const weights = readWeights(), result = pageMath.weigh(weighing, useCaseSelect.value, weights);
    for (const name of criteria) {
      sliders[name].nextElementSibling.value = pageMath.formatPercent(result.weights[name]);
    }
    const requirements = ["runs and is verified equal", ...weighing.use_cases[useCaseSelect.value].requirements];
    find("#requirements").textContent = `Requirements: ${requirements.join(", ")}.`;
    find("#criteria-file").href = "data:application/json," + encodeURIComponent(JSON.stringify(weights));
    find("#verdict").textContent = result.text;
    showScores(result);
    showWinners(result.weights, keepShown(result));
    if (result.verdict) drawWinners(result.weights, keepShown(result));
    updatePair();
  };
  const setUseCaseWeights = () => {
    const { weights } = weighing.use_cases[useCaseSelect.value];
    criteria.forEach((name) => { sliders[name].value = weights[name]; });
  };

  // ---- the verdict on two variants ----
  const pair = find("#pair form")?.elements;
  let isPairNear = false;
  const updatePair = () => {
    if (!isPairNear) return;
    const [a, b] = [pair.a.value, pair.b.value];
    const metrics = Object.entries(page.data.metrics), families = resultTable.families();
    const table = find("#pair-table"), entry = (family, metric) => resultTable.ratioTo(family, metric, a, b) ?? null;
    const known = metrics.filter(([metric]) => families.some((family) => entry(family, metric)));
    table.tHead.rows[0].replaceChildren();
    table.tBodies[0].replaceChildren();
    for (const text of ["workload", ...known.map(([, [heading]]) => heading)]) {
      page.addElement("th", text, table.tHead.rows[0]).scope = "col";
    }
    for (const family of families) {
      const texts = known.map(([metric, [, better]]) => pairMath.describeEntry(entry(family, metric), better, a, b));
      page.addRow(table.tBodies[0], [resultTable.workloadOf(family), ...texts], "th");
    }
    find("#pair-verdict").textContent = a === b ? "Choose two different candidates." : describePair(a, b, families, entry);
  };
  const describePair = (a, b, families, entry) => {
    const speed = families.map((family) => entry(family, "train_samples_per_s"));
    const [first, second] = [page.data.frameworks[a], page.data.frameworks[b]], useCase = useCaseSelect.value;
    const text = `Training speed: ${pairMath.summarize(speed, "more", a, b)}`;
    if (first === second) return text;
    const comparison = pageMath.comparePair(weighing, useCase, readWeights(), first, second);
    return `${text} ${pairMath.describeScores(comparison, first, second, useCase)}`;
  };

  // ---- state and events ----
  const restore = () => {
    useCaseSelect.value = page.get("use-case") || weighing.default;
    if (useCaseSelect.selectedIndex < 0) useCaseSelect.value = weighing.default;
    setUseCaseWeights();
    for (const name of criteria) {
      if (page.has("w." + name)) sliders[name].value = page.get("w." + name);
    }
    zeros.checked = page.get("zeros") === "yes";
    for (const name of pair ? ["a", "b"] : []) {
      if (page.has(name)) pair[name].value = page.get(name);
      if (pair[name].selectedIndex < 0) pair[name].selectedIndex = name === "a" ? 0 : 1;
    }
    hideZeros();
    update();
  };
  form.addEventListener("input", ({ target }) => {
    page.set(target.name, target === zeros ? (zeros.checked ? "yes" : null) : target.value);
    if (target === useCaseSelect) {
      setUseCaseWeights();
      criteria.forEach((name) => page.set("w." + name, null));
    }
    // A slider that is moved to 0 stays until the use case or the switch changes.
    if (target === useCaseSelect || target === zeros) hideZeros();
    update();
  });
  find("#pair form")?.addEventListener("input", ({ target }) => {
    page.set(target.name, target.value);
    updatePair();
  });
  if (pair) {
    pageCharts.watch(find("#pair"), () => {
      isPairNear = true;
      updatePair();
    });
  }
  pageCharts.watch(find("#flips"), () => {
    isChartNear = true;
    update();
  });
  page.onTheme(() => { if (isChartNear) update(); });
  const drawAll = () => {
    isChartNear = isPairNear = true;
    update();
  };
  return { restore, drawAll };
})();
