// The verdict on two variants from their comparisons, without the DOM. tests/unit/report/test_pair_math.py runs it.
"use strict";
const pairMath = (() => {
  // Return which of the two is better in a metric: "a", "b", "equal", or "open" where the noise does not tell.
  const findBetter = (entry, better) => {
    if (!entry.separated) return entry.more === null ? "equal" : "open";
    return entry.ratio > 1 === (better === "more") ? "a" : "b";
  };

  // Return the factor of the better one as text, with its interval.
  const describeFactor = (entry) => {
    const factor = entry.ratio < 1 ? pageMath.invertRatio(entry) : entry;
    const interval = pageMath.formatInterval(factor);
    return pageMath.formatRatio(factor) + (interval && ` [${interval}]`);
  };

  // Return the text of one comparison; `entry` is null where the two are not compared.
  const describeEntry = (entry, better, a, b) => {
    if (!entry) return "not compared";
    const winner = findBetter(entry, better);
    if (winner === "equal") return "equal";
    if (winner === "open") {
      const more = entry.more === null ? "" : `, about ${entry.more} more repeat${entry.more === 1 ? "" : "s"}`;
      return `not separated${more}`;
    }
    return `${winner === "a" ? a : b} ${describeFactor(entry)}`;
  };

  // Return the sentence on a metric over all workloads.
  const summarize = (entries, better, a, b) => {
    const compared = entries.filter(Boolean), count = { a: 0, b: 0, equal: 0, open: 0 };
    if (!compared.length) return `${a} and ${b} are not compared in any workload.`;
    compared.forEach((entry) => { count[findBetter(entry, better)] += 1; });
    const total = `of ${entries.length} workload${entries.length === 1 ? "" : "s"}`;
    const parts = [
      count.a && `${a} is better on ${count.a}`,
      count.b && `${b} on ${count.b}`,
      count.equal && `equal on ${count.equal}`,
      count.open && `not separated on ${count.open}`,
      entries.length > compared.length && `not compared on ${entries.length - compared.length}`,
    ].filter(Boolean);
    if (!count.a && count.b) parts[0] = `${b} is better on ${count.b}`;
    return `${parts.join(", ")} ${total}.`;
  };

  // Return the sentence on the weighed scores, from `pageMath.comparePair`.
  const describeScores = (comparison, a, b, useCase) => {
    if (!comparison) return `At the weights above, ${a} and ${b} can't both compete for ${useCase}.`;
    const { gap, low, high, repeats, isEqual } = comparison;
    const factor = pageMath.formatFactor, interval = `[${factor(low)} to ${factor(high)}]`;
    const text = `At the weights above for ${useCase}, ${a} scores ${factor(gap)} times ${b}`;
    if (repeats < 2) return `${text}; one repeat has no interval.`;
    if (isEqual) return `${text} ${interval}: equal for practical purposes.`;
    const leader = low > 0 ? a : high < 0 ? b : null;
    return `${text} ${interval}: ${leader ? `${leader} is ahead beyond the noise` : "not separated"}.`;
  };

  return { findBetter, describeEntry, summarize, describeScores };
})();
