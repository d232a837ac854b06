// The best so far of several studies on one chart: steps, along the trials that had finished or the hours since the start.
"use strict";
(() => {
  const { kinds, width, none, axes, theme, short, showTip, hideTip, colour } = window.celeriacCharts;
  const DASHES = [[], [], [], [], [9, 4], [9, 4], [3, 3], [3, 3]];

  // Of a study the value at each x of the common axis: that of the last step before it, until the study's own end.
  function along(study, by, xs) {
    const end = by ? study.hours : study.counts.scored + study.counts.pruned + study.counts.failed;
    let at = 0, best = null;
    return xs.map((x) => {
      while (at < study.steps.length && study.steps[at][by] <= x) best = study.steps[at++][2];
      return x <= end || (at && study.steps[at - 1][by] === x) ? best : null;
    });
  }

  kinds.studies = function studies(place, d) {
    if (!d.studies.some((each) => each.steps.length)) return none(place, "No trial has a score yet.");
    const t = theme(), figure = place.closest("figure");
    const chosen = figure.querySelector("input[name=along]:checked"), by = chosen ? Number(chosen.value) : 0;
    const ends = d.studies.map((each) => (by ? each.hours : each.counts.scored + each.counts.pruned + each.counts.failed));
    const xs = [...new Set(d.studies.flatMap((each, k) => [...each.steps.map((step) => step[by]), ends[k]]))].filter((x) => x !== null).sort((a, b) => a - b);
    const lines = d.studies.map((each) => along(each, by, xs));
    // The first of many steps are far off: the window is that of what comes after, as on a study's own page.
    const values = d.studies.flatMap((each) => each.steps.map((step) => step[2])).sort((a, b) => a - b);
    const up = d.goal === "maximize", cut = values.length > 20 ? Math.floor(values.length * 0.3) : 0;
    const low = up ? values[cut] : values[0], high = up ? values[values.length - 1] : values[values.length - 1 - cut];
    const room = 0.06 * ((high - low) || Math.abs(high) || 1);
    // Studies of very different lengths have room beside one another on a logarithmic axis alone.
    const begun = xs.filter((x) => x > 0), shortest = Math.min(...ends.filter((end) => end > 0)), log = xs[xs.length - 1] > 5 * shortest;
    const axis = log ? begun : xs, kept = xs.length - axis.length;
    const chart = new uPlot({
      width: width(place), height: 320, padding: [12, 12, 0, 4], legend: { show: false },
      cursor: { points: { show: false }, focus: { prox: 24 }, drag: { x: true, y: false } }, focus: { alpha: 0.3 },
      scales: { x: { time: false, ...(log ? { distr: 3, log: 10, range: () => [axis[0], axis[axis.length - 1]] } : { range: (_, from, to) => [from, Math.max(to, from + 1e-9)] }) }, y: { range: () => [low - room, high + room] } },
      axes: axes(t, { size: 44, label: by ? "hours since the start" : "finished trials", labelSize: 18, labelFont: "12px system-ui, sans-serif", labelGap: 0,
        ...(log ? { values: (_, values) => values.map((each) => (each === null ? "" : short(each))) } : by ? {} : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000] }) }),
      series: [{}, ...d.studies.map((each, k) => ({ label: each.name, stroke: colour(`--line${k}`), width: 2, dash: DASHES[k], paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }))],
      hooks: {
        setSeries: [(u, k) => { u.cursor.focused = k; }],
        setCursor: [(u) => {
          const k = u.cursor.focused;
          if (!k || u.cursor.left < 0 || u.cursor.idx === null || u.cursor.idx === undefined) return hideTip(place);
          const value = u.data[k][u.cursor.idx], study = d.studies[k - 1];
          if (value === null) return hideTip(place);
          const x = axis[u.cursor.idx];
          showTip(place, u.cursor.left + u.over.offsetLeft, u.cursor.top, `${study.name}\n${study.metric} ${short(value, 6)} after ${by ? `${short(x)} hours` : `${x} trials`}`);
        }],
      },
    }, [axis, ...lines.map((each) => each.slice(kept))], place);
    chart.over.addEventListener("mouseleave", () => hideTip(place));
    figure.querySelectorAll("input[name=along]").forEach((each) => { each.onchange = () => window.celeriacCharts.draw(figure); });
    return chart;
  };
})();
