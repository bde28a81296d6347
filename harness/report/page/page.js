// What the page does beyond reading: sort, filter, other baselines, other weights, downloads. State lives in the hash.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const inflate = async (link) => {
    const bytes = Uint8Array.from(atob(link.href.split(",")[1]), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const element = (name, text, root) => {
    const made = document.createElement(name);
    made.textContent = text;
    return root ? root.appendChild(made) : made;
  };

  // ---- the hash ----
  const sections = new Set(all("[id]").map((one) => one.id));
  const read = () => (sections.has(location.hash.slice(1)) ? new URLSearchParams() : new URLSearchParams(location.hash.slice(1)));
  let state = read();
  const put = (name, value) => {
    value === "" || value === null ? state.delete(name) : state.set(name, value);
    history.replaceState(null, "", "#" + state);
  };

  // ---- digits, as in ratios.py ----
  const digits = (low, high) => Math.min(3, Math.max(0, 1 - Math.floor(Math.log10(high - low))));
  const shown = ({ ratio, low, high }) => {
    const places = low === null || !(high > low) ? 2 : digits(low, high);
    return `${ratio.toFixed(places)}x` + (low === null ? "" : ` [${low.toFixed(places)}, ${high.toFixed(places)}]`);
  };

  // ---- the table ----
  const table = $("#cells"), body = table.tBodies[0], rows = [...body.rows], filters = $("#filters");
  const filter = () => {
    const wanted = (name) => state.get(name) || "";
    const text = wanted("text").toLowerCase(), mark = wanted("mark");
    for (const row of rows) {
      const marks = row.dataset.marks.split(" ").filter(Boolean);
      row.hidden = ["task", "backend", "state"].some((name) => wanted(name) && row.dataset[name] !== wanted(name)) ||
        (mark && (mark === "none" ? marks.length > 0 : !marks.includes(mark))) || !row.textContent.toLowerCase().includes(text);
    }
    $("#count").value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} cells`;
  };
  const headings = all("th[data-sort]", table);
  const sort = () => {
    const [name, way] = (state.get("sort") || "").split(" ");
    const column = headings.findIndex((heading) => heading.dataset.sort === name);
    headings.forEach((heading, place) => place === column ? heading.setAttribute("aria-sort", way) : heading.removeAttribute("aria-sort"));
    const sign = way === "descending" ? -1 : 1, value = (row) => row.cells[column].dataset.value;
    const order = column < 0 ? rows : [...rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what was not measured stands last, either way
      return sign * (column > 2 ? x - y : x.localeCompare(y));
    });
    body.append(...order);
  };
  headings.forEach((heading) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.onclick = () => {
      put("sort", `${heading.dataset.sort} ${heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending"}`);
      sort();
    };
  });

  // ---- ratios to the baseline ----
  let told = null;
  const ratios = new Map();
  const key = (family, metric, a, b) => JSON.stringify([...family, metric, a, b]);
  const flip = (end) => (end === null ? null : 1 / end);
  const learn = (report) => {
    told = report; // which has names, where the page has titles
    const titles = new Map(told.cards.map((card) => [card.backend, card.title]));
    const titled = new Map(told.cells.map((cell) => [`${cell.backend} ${cell.mode}`, `${titles.get(cell.backend)} ${cell.mode}`]));
    for (const one of told.comparisons) {
      const family = [one.task, one.device, one.precision, one.batch_size], a = titled.get(one.a), b = titled.get(one.b);
      ratios.set(key(family, one.metric, a, b), { ratio: one.ratio, low: one.low, high: one.high });
      ratios.set(key(family, one.metric, b, a), { ratio: 1 / one.ratio, low: flip(one.high), high: flip(one.low) });
    }
  };
  const baseline = () => filters.elements.base?.value;
  const rebase = () => {
    if (!told || !baseline()) return;
    all(".baseline").forEach((one) => { one.textContent = baseline(); });
    for (const row of rows) {
      const family = JSON.parse(row.dataset.family);
      for (const cell of all("td[data-metric]", row)) {
        const one = ratios.get(key(family, cell.dataset.metric, row.dataset.candidate, baseline()));
        const place = $(".ratio", cell);
        if (place) place.textContent = one ? shown(one) : "";
      }
    }
  };

  // ---- charts ----
  const dark = matchMedia("(prefers-color-scheme: dark)"), print = matchMedia("print");
  const plots = all("figure .plot").map((place) => ({ place, figure: JSON.parse(place.nextElementSibling.textContent) }));
  // Over a decade and more plotly writes 0.2 as a small 2: write 1, 2 and 5 of each decade in full instead.
  const ticks = (own, values) => {
    const known = values.filter((value) => value > 0), wide = Math.max(...known) / Math.min(...known) > 6;
    if (own.type !== "log" || !known.length || !wide) return { ...own, tickmode: "auto" };
    const at = [...Array(24).keys()].flatMap((power) => [1, 2, 5].map((one) => Number(`${one}e${power - 12}`)));
    return { ...own, tickmode: "array", tickvals: at, ticktext: at.map((one) => one.toLocaleString("en", { maximumSignificantDigits: 1 })) };
  };
  const themed = (data, layout) => {
    const night = dark.matches && !print.matches, line = night ? "#363d46" : "#d8dee4";
    const axis = (own, name) => ({ ...ticks(own, data.flatMap((trace) => trace[name] || [])), gridcolor: line, linecolor: line, tickcolor: line });
    return { ...layout, xaxis: axis(layout.xaxis, "x"), yaxis: axis(layout.yaxis, "y"), paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: night ? "#e6e9ed" : "#1b1f24", size: 12, family: "system-ui, sans-serif" }, hoverlabel: { namelength: -1 },
      shapes: (layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: night ? "#e6e9ed" : "#1b1f24" } })) };
  };
  const options = { responsive: true, displaylogo: false, displayModeBar: false };
  const draw = (place, data, layout) => Plotly.react(place, data, themed(data, layout), options);
  const compared = () => {
    if (!told || !baseline()) return;
    const metric = $("#ratio select")?.value || "train_samples_per_s", section = $("#ratio");
    if (!section) return;
    const option = $("#ratio select").selectedOptions[0].textContent, less = $(`th[data-sort=${metric}]`).textContent.includes("↓");
    const lines = [];
    for (const { place, figure } of plots.filter(({ place }) => section.contains(place))) {
      const family = figure.layout.meta.family;
      const names = rows.filter((row) => JSON.stringify(JSON.parse(row.dataset.family)) === JSON.stringify(family)).map((row) => row.dataset.candidate);
      const found = names.map((name) => ({ name, ...(name === baseline() ? { ratio: 1, low: null, high: null } : ratios.get(key(family, metric, name, baseline()))) }))
        .filter((one) => one.ratio).sort((a, b) => (less ? b.ratio - a.ratio : a.ratio - b.ratio));
      const [trace] = figure.data, look = {};
      looks.get(section).forEach((value, name) => { look[name] = value; });
      Object.assign(trace, { x: found.map((one) => one.ratio), y: found.map((one) => one.name) });
      trace.marker = { size: 10, color: found.map((one) => look[one.name]?.color), symbol: found.map((one) => look[one.name]?.symbol) };
      trace.error_x = { ...trace.error_x, array: found.map((one) => (one.high ?? one.ratio) - one.ratio), arrayminus: found.map((one) => one.ratio - (one.low ?? one.ratio)) };
      figure.layout.xaxis.title.text = `${option}, ratio to ${baseline()}<br>${less ? "← left" : "right →"} is better`;
      const title = $("figcaption", place.parentNode).textContent;
      found.forEach((one) => lines.push([title, one.name, one.name === baseline() ? "baseline" : shown(one)]));
      if (place.data) draw(place, figure.data, figure.layout);
    }
    const beside = $("table", section);
    beside.tHead.rows[0].cells[2].textContent = `${option}, ratio to the baseline`;
    beside.tBodies[0].replaceChildren(...lines.map((line) => {
      const row = element("tr", "");
      line.forEach((text) => element("td", text, row));
      return row;
    }));
  };
  const looks = new Map();
  for (const { place, figure } of plots.filter(({ place }) => $("#ratio")?.contains(place))) {
    const found = looks.get($("#ratio")) || new Map();
    figure.data[0].y.forEach((name, at) => found.set(name, { color: figure.data[0].marker.color[at], symbol: figure.data[0].marker.symbol[at] }));
    looks.set($("#ratio"), found);
  }

  // ---- weights: the values of criteria.py, the intervals of statistics.py ----
  const weighed = JSON.parse($("#weighed").textContent), form = $("#weights"), criteria = Object.keys(weighed.criteria);
  const sliders = Object.fromEntries(criteria.map((name) => [name, form.elements["w." + name]]));
  const percent = (share) => `${Math.round(100 * share)} %`;
  const STUDENT = { 2: 12.7062, 3: 4.30265, 4: 3.18245, 5: 2.77645 }; // 97.5 % quantiles, by the number of values
  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  };
  const centre = (values) => {
    const n = values.length, sorted = [...values].sort((a, b) => a - b);
    if (n < 2) return [-Infinity, Infinity];
    if (n < 6) {
      const mean = sorted.reduce((sum, one) => sum + one, 0) / n;
      const half = STUDENT[n] * Math.sqrt(sorted.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (n - 1) / n);
      return [mean - half, mean + half];
    }
    let ways = 2 * 0.5 ** n, outside = ways, before = 0, d = 0; // outside: that the median is beyond the d-th of each side
    while (outside < 0.05) { d += 1; before = outside; ways *= (n - d + 1) / d; outside += ways; }
    const share = (0.05 - before) / (outside - before), weight = ((n - d) * share) / (d + (n - 2 * d) * share);
    return [(1 - weight) * sorted[d - 1] + weight * sorted[d], (1 - weight) * sorted[n - d] + weight * sorted[n - d - 1]];
  };
  const envelope = (lines) => { // [{name, at0, at1}] -> who is highest from where on, as t goes from 0 to 1
    const value = (line, t) => line.at0 + t * (line.at1 - line.at0), slope = (line) => line.at1 - line.at0;
    let t = 0, first = lines.reduce((best, one) => (one.at0 > best.at0 || (one.at0 === best.at0 && slope(one) > slope(best)) ? one : best));
    const found = [{ name: first.name, from: 0 }];
    for (;;) {
      let next = null, at = 1;
      for (const one of lines.filter((one) => slope(one) > slope(first))) {
        const crossing = t + (value(first, t) - value(one, t)) / (slope(one) - slope(first));
        if (crossing < at || (crossing === at && next && slope(one) > slope(next))) { next = one; at = Math.max(t, crossing); }
      }
      if (!next) return found.map((one, place) => ({ ...one, to: found[place + 1]?.from ?? 1 })).filter((one) => one.to > one.from);
      first = next; t = at;
      found.push({ name: first.name, from: t });
    }
  };
  const weigh = () => {
    const profile = weighed.profiles[form.elements.profile.value];
    const raw = Object.fromEntries(criteria.map((name) => [name, +sliders[name].value]));
    const whole = criteria.reduce((sum, name) => sum + raw[name], 0);
    const weights = Object.fromEntries(criteria.map((name) => [name, whole ? raw[name] / whole : 0]));
    criteria.forEach((name) => { sliders[name].nextElementSibling.value = percent(weights[name]); });
    $("#limits").textContent = `Limits: ${["runs and is proven equal", ...profile.require].join(", ")}.`;
    $("#own").href = "data:application/json," + encodeURIComponent(JSON.stringify(raw));
    const lines = $("#scores").tBodies[0], turns = $("#turns").tBodies[0], say = (text) => { $("#verdict").textContent = text; };
    lines.replaceChildren();
    turns.replaceChildren();
    if (!whole) return say("All weights are 0, so that nothing counts.");
    const out = {}, fit = [];
    for (const [name, one] of Object.entries(weighed.candidates)) {
      const lacks = criteria.find((criterion) => weights[criterion] && !(criterion in one.points));
      out[name] = profile.out[name] || (lacks ? `has no ${lacks} in every workload` : null);
      if (!out[name]) fit.push({ name, ...one });
    }
    const used = criteria.filter((name) => weights[name]);
    const plain = (one) => used.reduce((sum, name) => sum + weights[name] * one.points[name], 0);
    const inRound = (one, repeat) => used.reduce((sum, name) => sum + weights[name] * (one.rounds[name] ? one.rounds[name][one.repeats.indexOf(repeat)] : one.points[name]), 0);
    const leader = fit.reduce((best, one) => (!best || plain(one) > plain(best) ? one : best), null);
    const rivals = [];
    let alike = true;
    const row = (...texts) => { const made = element("tr", "", lines); texts.forEach((text, place) => element(place ? "td" : "th", text, made)); };
    const factor = (log) => (2 ** log).toFixed(2);
    for (const one of [...fit].sort((a, b) => plain(b) - plain(a))) {
      if (one === leader) { row(one.name, "1.00", "", ""); continue; }
      const shared = one.repeats.filter((repeat) => leader.repeats.includes(repeat));
      const gaps = shared.map((repeat) => inRound(one, repeat) - inRound(leader, repeat)), [low, high] = centre(gaps);
      row(one.name, factor(plain(one) - plain(leader)), shared.length > 1 ? `[${factor(low)}, ${factor(high)}]` : "one repeat", "");
      const band = Math.log2(1 + weighed.equal);
      if (high >= 0 || -median(gaps) <= band) { rivals.push(one.name); alike &&= low >= -band && high <= band; }
    }
    Object.keys(out).filter((name) => out[name]).forEach((name) => row(name, "–", "", out[name]));
    const fewest = weighed.fewest[fit.length], repeats = Math.min(...fit.map((one) => one.repeats.length));
    const given = criteria.every((name) => raw[name] === profile.weights[name]);
    if (!leader) say("None fits: no candidate is within the limits.");
    else if (given) say(`${profile.verdict[0].toUpperCase()}${profile.verdict.slice(1)}${profile.choice.length ? ": " + profile.choice.join(", ") : ""} (${profile.reason}).`);
    else if (fit.length === 1) say(`Clear: ${leader.name}, the only candidate that is left.`);
    else if (repeats < fewest) say(`Not enough evidence: ${repeats} of at least ${fewest} repeats that could tell ${fit.length} candidates apart.`);
    else if (rivals.length && alike) say(`Tie: ${[leader.name, ...rivals].join(", ")} are within 5 % of each other.`);
    else if (rivals.length) say(`Not enough evidence: the noise does not part ${leader.name} from ${rivals.join(" and ")}.`);
    else say(`${leader.name}, beyond the noise, at exactly these weights; see below where that changes.`);
    const strips = [], marks = { x: [], y: [] };
    for (const name of leader ? criteria.filter((name) => weights[name] < 1 && fit.every((one) => name in one.points)) : []) {
      const segments = envelope(fit.map((one) => ({ name: one.name, at1: one.points[name], at0: (plain(one) - weights[name] * (one.points[name] ?? 0)) / (1 - weights[name]) })));
      const about = weighed.criteria[name].about, made = element("tr", "", turns);
      element("th", about, made);
      element("td", percent(weights[name]), made);
      element("td", segments.map((one) => `${one.name} from ${percent(one.from)} to ${percent(one.to)}`).join(", then "), made);
      segments.forEach((one) => strips.push({ about, ...one }));
      marks.x.push(weights[name]);
      marks.y.push(about);
    }
    const colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C"];
    const data = Object.keys(weighed.candidates).map((name, place) => ({ place, own: strips.filter((one) => one.name === name), name })).filter(({ own }) => own.length)
      .map(({ name, own, place }) => ({ type: "bar", orientation: "h", name, y: own.map((one) => one.about), base: own.map((one) => one.from), x: own.map((one) => one.to - one.from), text: own.map((one) => (one.to - one.from > 0.1 ? name : "")),
        textposition: "inside", insidetextanchor: "middle", insidetextfont: { color: "#000" }, hovertemplate: `${name}<extra></extra>`, marker: { color: colours[place % 7], opacity: 0.75 } }));
    data.push({ type: "scatter", mode: "markers", ...marks, name: "weight now", marker: { symbol: "line-ns-open", size: 22, line: { width: 3 }, color: dark.matches && !print.matches ? "#fff" : "#000" } });
    draw($("#flips"), data, { barmode: "overlay", height: 120 + 30 * marks.y.length, margin: { l: 10, r: 10, t: 10, b: 10 }, legend: { orientation: "h", y: -0.25 },
      xaxis: { range: [-0.01, 1.01], tickformat: ".0%", title: { text: "weight of the criterion" }, automargin: true }, yaxis: { automargin: true, autorange: "reversed" } });
  };
  const takeProfile = () => criteria.forEach((name) => { sliders[name].value = weighed.profiles[form.elements.profile.value].weights[name]; });

  // ---- all of it, from the hash ----
  const restore = () => {
    state = read();
    filters.reset();
    for (const control of filters.elements) if (control.name && state.has(control.name)) control.value = state.get(control.name);
    if ($("#ratio select")) $("#ratio select").value = state.get("metric") || "train_samples_per_s";
    form.elements.profile.value = state.get("profile") || weighed.default;
    if (form.elements.profile.selectedIndex < 0) form.elements.profile.value = weighed.default;
    takeProfile();
    criteria.forEach((name) => { if (state.has("w." + name)) sliders[name].value = state.get("w." + name); });
    filter(); sort(); rebase(); compared(); weigh();
  };
  all(".needs-script").forEach((one) => { one.hidden = false; });
  filters.addEventListener("input", ({ target }) => { put(target.name, target.value); filter(); if (target.name === "base") { rebase(); compared(); } });
  $("button[type=reset]", filters).onclick = (event) => { event.preventDefault(); ["text", "task", "backend", "state", "mark", "base", "sort"].forEach((name) => put(name, null)); restore(); };
  $("#ratio select")?.addEventListener("input", ({ target }) => { put("metric", target.value); compared(); });
  form.addEventListener("input", ({ target }) => {
    put(target.name, target.value);
    if (target.name === "profile") { takeProfile(); criteria.forEach((name) => put("w." + name, null)); }
    weigh();
  });
  all("a.word").forEach((link) => link.addEventListener("click", () => { $("#words").open = true; }));
  all("form").forEach((one) => one.addEventListener("submit", (event) => event.preventDefault()));
  addEventListener("hashchange", () => { if (!sections.has(location.hash.slice(1))) restore(); });
  all("a.raw").forEach((link) => link.addEventListener("click", async (event) => {
    event.preventDefault();
    const plain = element("a", "");
    plain.href = URL.createObjectURL(new Blob([await inflate(link)]));
    plain.download = link.textContent;
    plain.click();
    setTimeout(() => URL.revokeObjectURL(plain.href), 60000);
  }));
  const drawn = (one) => draw(one.place, one.figure.data, one.figure.layout);
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    seen.unobserve(target);
    drawn(plots.find(({ place }) => place === target));
  }), { rootMargin: "600px" });
  plots.forEach(({ place }) => seen.observe(place));
  const redraw = () => { plots.filter(({ place }) => place.data).forEach(drawn); weigh(); };
  dark.addEventListener("change", redraw);
  addEventListener("beforeprint", () => { all("details").forEach((one) => { one.open = true; }); plots.forEach(drawn); });
  restore();
  inflate($("a.raw")).then((text) => { learn(JSON.parse(text)); rebase(); compared(); document.body.dataset.ready = "yes"; });
})();
