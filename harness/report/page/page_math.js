// The calculations of the page, without the DOM. tests/unit/report/test_page_math.py runs them against the Python code.
"use strict";
const pageMath = (() => {
  // 97.5 % quantiles of Student's distribution by the number of values, as in analysis/statistics.py.
  const STUDENT = { 2: 12.706204736432095, 3: 4.302652729911275, 4: 3.182446305284263, 5: 2.7764451051977987 };
  const LEVEL = 0.05;

  const sortNumbers = (values) => [...values].sort((a, b) => a - b);
  const sum = (values) => values.reduce((total, value) => total + value, 0);

  // ---- text ----
  const formatPercent = (share) => `${Math.round(100 * share)} %`;
  const formatFactor = (points) => (2 ** points).toFixed(2);

  // Equal values, up to rounding, have no interval, as in `has_width` of ratios.py.
  const hasWidth = ({ low, high }) => low !== null && high - low > 1e-6 * Math.abs(high);

  // Return the decimals of a value by its interval, as `decimals_for` in ratios.py does, from 0 to 3.
  const countDecimals = (entry) => {
    const leading = Math.floor(Math.log10(entry.ratio)), half = (entry.high - entry.low) / 2;
    const byInterval = () => Math.min(1 - Math.floor(Math.log10(half / 0.355)), 3 - leading);
    const decimals = hasWidth(entry) ? byInterval() : 2 - leading;
    return Math.max(0, Math.min(3, decimals));
  };

  // Return a ratio and its interval as text, as `str(Ratio)` and `Ratio.interval` in ratios.py do.
  const formatRatio = (entry) => `${entry.ratio.toFixed(countDecimals(entry))}x`;
  const formatInterval = (entry) => {
    const { low, high } = entry, decimals = countDecimals(entry);
    return !hasWidth(entry) ? "" : `${low.toFixed(decimals)} to ${high.toFixed(decimals)}`;
  };

  const invertRatio = ({ ratio, low, high }) => ({
    ratio: 1 / ratio,
    low: high === null ? null : 1 / high,
    high: low === null ? null : 1 / low,
  });

  // ---- statistics ----
  const median = (values) => {
    const sorted = sortNumbers(values), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  };

  // Return the 95 % interval of the median, as `median_interval` in analysis/statistics.py does.
  const medianInterval = (values) => {
    const n = values.length, sorted = sortNumbers(values);
    if (n < 2) return [-Infinity, Infinity];
    if (n < 6) {
      const mean = sum(sorted) / n;
      const half = STUDENT[n] * Math.sqrt(sum(sorted.map((value) => (value - mean) ** 2)) / (n - 1) / n);
      return [mean - half, mean + half];
    }
    // `outside`: the probability that the median is outside of the d-th smallest and the d-th largest value.
    let term = 2 * 0.5 ** n, outside = term, previous = 0, d = 0;
    while (outside < LEVEL) {
      d += 1;
      previous = outside;
      term *= (n - d + 1) / d;
      outside += term;
    }
    const share = (LEVEL - previous) / (outside - previous), weight = ((n - d) * share) / (d + (n - 2 * d) * share);
    return [
      (1 - weight) * sorted[d - 1] + weight * sorted[d],
      (1 - weight) * sorted[n - d] + weight * sorted[n - d - 1],
    ];
  };

  // ---- the highest line ----
  const lineValue = (line, t) => line.at0 + t * (line.at1 - line.at0);
  const lineSlope = (line) => line.at1 - line.at0;

  // Return the lines {name, at0, at1} that are the highest as t goes from 0 to 1, as segments {name, from, to}.
  const findEnvelope = (lines) => {
    const isHigherAtStart = (a, b) => a.at0 > b.at0 || (a.at0 === b.at0 && lineSlope(a) > lineSlope(b));
    let highest = lines.reduce((best, line) => (isHigherAtStart(line, best) ? line : best)), t = 0;
    const starts = [{ name: highest.name, from: 0 }];
    for (;;) {
      let next = null, crossing = 1;
      for (const line of lines.filter((candidate) => lineSlope(candidate) > lineSlope(highest))) {
        const at = t + (lineValue(highest, t) - lineValue(line, t)) / (lineSlope(line) - lineSlope(highest));
        if (at < crossing || (at === crossing && next && lineSlope(line) > lineSlope(next))) {
          next = line;
          crossing = Math.max(t, at);
        }
      }
      if (!next) break;
      highest = next;
      t = crossing;
      starts.push({ name: highest.name, from: t });
    }
    return starts
      .map((start, index) => ({ ...start, to: starts[index + 1]?.from ?? 1 }))
      .filter((segment) => segment.to > segment.from);
  };

  // ---- weighing, as in decision/decide.py but without the doubt about the weights ----
  const normalizeWeights = (weights) => {
    const total = sum(Object.values(weights));
    return Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, total ? weight / total : 0]));
  };

  // Return {fit, excluded}: the candidates that meet the requirements of a use case, and name -> reason of the rest.
  const splitCandidates = (weighing, useCase, weights) => {
    const fit = [], excluded = {};
    for (const [name, candidate] of Object.entries(weighing.candidates)) {
      const missing = Object.keys(weights).find((criterion) => weights[criterion] && !(criterion in candidate.points));
      const reason = useCase.excluded[name] || (missing ? `has no ${missing} in every workload` : null);
      if (reason) excluded[name] = reason;
      else fit.push({ name, ...candidate });
    }
    return { fit, excluded };
  };

  const scoreCandidate = (candidate, weights) =>
    sum(Object.keys(weights).filter((name) => weights[name]).map((name) => weights[name] * candidate.points[name]));

  // Return the score in one repeat; looked-up criteria have the same points in all repeats.
  const scoreRepeat = (candidate, weights, repeat) => {
    const index = candidate.repeats.indexOf(repeat);
    const points = (name) => (candidate.rounds[name] ? candidate.rounds[name][index] : candidate.points[name]);
    return sum(Object.keys(weights).filter((name) => weights[name]).map((name) => weights[name] * points(name)));
  };

  // Return the difference of a candidate to the leader in points, with its interval over the repeats of both.
  const compareToLeader = (candidate, leader, weights, equal) => {
    const shared = candidate.repeats.filter((repeat) => leader.repeats.includes(repeat));
    const gaps = shared.map((repeat) => scoreRepeat(candidate, weights, repeat) - scoreRepeat(leader, weights, repeat));
    const [low, high] = medianInterval(gaps), band = Math.log2(1 + equal);
    return {
      name: candidate.name,
      gap: scoreCandidate(candidate, weights) - scoreCandidate(leader, weights),
      low,
      high,
      repeats: shared.length,
      isRival: high >= 0 || -median(gaps) <= band,
      isEqual: low >= -band && high <= band,
    };
  };

  // Return the verdict at exactly these weights, and the sentence that describes it.
  const judge = (weighing, fit, leader, comparisons) => {
    if (!leader) return { verdict: "none fits", text: "No candidate meets the requirements." };
    const only = `Clear: ${leader.name}, the only candidate that meets the requirements.`;
    if (fit.length === 1) return { verdict: "clear", text: only };
    const fewest = weighing.fewest[fit.length], repeats = Math.min(...fit.map((candidate) => candidate.repeats.length));
    if (repeats < fewest) {
      const needed = `${repeats} of at least ${fewest} repeats that could distinguish ${fit.length} candidates`;
      return { verdict: "not enough evidence", text: `Not enough evidence: ${needed}.` };
    }
    const rivals = comparisons.filter((comparison) => comparison.isRival), names = rivals.map((rival) => rival.name);
    if (rivals.length && rivals.every((rival) => rival.isEqual)) {
      const tied = [leader.name, ...names].join(", ");
      return { verdict: "tie", text: `Tie: ${tied} are within ${formatPercent(weighing.equal)} of each other.` };
    }
    if (rivals.length) {
      const text = `Not enough evidence: the noise does not separate ${leader.name} from ${names.join(" and ")}.`;
      return { verdict: "not enough evidence", text };
    }
    const text = `${leader.name} leads beyond the noise at exactly these weights; see below where that changes.`;
    return { verdict: "clear", text };
  };

  // Return criterion -> segments of the winner as the weight of the criterion goes from 0 to 1.
  const findWinners = (fit, weights) => {
    const line = (candidate, name) => {
      const points = candidate.points[name], rest = scoreCandidate(candidate, weights) - weights[name] * points;
      return { name: candidate.name, at0: rest / (1 - weights[name]), at1: points };
    };
    const names = Object.keys(weights).filter(
      (name) => fit.length && weights[name] < 1 && fit.every((candidate) => name in candidate.points),
    );
    return Object.fromEntries(names.map((name) => [name, findEnvelope(fit.map((candidate) => line(candidate, name)))]));
  };

  const describeDecision = ({ verdict, choice, reason }) => {
    const names = choice.length ? `: ${choice.join(", ")}` : "";
    return `${verdict[0].toUpperCase()}${verdict.slice(1)}${names} (${reason}).`;
  };

  // Return everything that the page shows of a use case at the weights of the sliders.
  const weigh = (weighing, useCaseName, sliderWeights) => {
    const useCase = weighing.use_cases[useCaseName], weights = normalizeWeights(sliderWeights);
    if (!Object.values(weights).some(Boolean)) {
      const text = "All weights are 0, so no criterion counts.";
      return { weights, verdict: null, text, leader: null, comparisons: [], excluded: {}, winners: {} };
    }
    const { fit, excluded } = splitCandidates(weighing, useCase, weights);
    const score = (candidate) => scoreCandidate(candidate, weights);
    const ranked = fit.map((candidate) => [score(candidate), candidate]).sort(([a], [b]) => b - a);
    const [leader = null, ...followers] = ranked.map(([, candidate]) => candidate);
    const comparisons = followers.map((follower) => compareToLeader(follower, leader, weights, weighing.equal));
    const isUseCase = Object.keys(weights).every((name) => sliderWeights[name] === useCase.weights[name]);
    const judgement = judge(weighing, fit, leader, comparisons);
    return {
      weights,
      leader: leader && leader.name,
      comparisons,
      excluded,
      verdict: judgement.verdict,
      text: isUseCase && leader ? describeDecision(useCase.decision) : judgement.text,
      winners: findWinners(fit, weights),
    };
  };

  // Return the comparison of two candidates at the weights of the sliders; null if one of them does not fit.
  const comparePair = (weighing, useCaseName, sliderWeights, nameA, nameB) => {
    const weights = normalizeWeights(sliderWeights), useCase = weighing.use_cases[useCaseName];
    const { fit } = splitCandidates(weighing, useCase, weights);
    const [a, b] = [nameA, nameB].map((name) => fit.find((candidate) => candidate.name === name));
    return a && b && Object.values(weights).some(Boolean) ? compareToLeader(a, b, weights, weighing.equal) : null;
  };

  return {
    formatPercent,
    formatFactor,
    formatRatio,
    formatInterval,
    invertRatio,
    median,
    medianInterval,
    findEnvelope,
    weigh,
    comparePair,
  };
})();
