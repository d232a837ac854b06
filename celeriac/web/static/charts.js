// Charts of a study. Each `figure[data-chart]` asks for its data once it comes into view; what several figures share is
// asked for once. uPlot draws what has two axes; parallel coordinates and the timeline are drawn here.
"use strict";
(() => {
  const asked = new Map();
  const drawn = new Set();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const theme = () => ({
    ink: colour("--ink"), soft: colour("--soft"), grid: colour("--c-grid"), line: colour("--strong-line"), card: colour("--card"),
    scored: colour("--c-scored"), pruned: colour("--c-pruned"), failed: colour("--c-failed"), best: colour("--c-best"),
    standard: colour("--c-default"), running: colour("--busy"), focus: colour("--focus"),
  });
  const STATES = { s: "scored", p: "pruned", f: "failed" };
  const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
  const short = (value, digits = 4) => {
    if (value === null || value === undefined) return "-";
    if (typeof value !== "number") return String(value);
    if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
    return String(Number(value.toPrecision(digits)));
  };
  const get = (url) => {
    if (!asked.has(url)) {
      asked.set(url, fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" }).then((answer) => {
        if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
        return answer.json();
      }));
      asked.get(url).catch(() => asked.delete(url));
    }
    return asked.get(url);
  };
  const none = (place, words) => {
    place.textContent = "";
    const said = document.createElement("p");
    said.className = "none";
    said.textContent = words;
    place.append(said);
  };
  const tipOf = (place) => {
    let tip = place.querySelector(":scope > .tip");
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "tip";
      tip.hidden = true;
      place.append(tip);
    }
    return tip;
  };
  const showTip = (place, x, y, words) => {
    const tip = tipOf(place);
    tip.textContent = words;
    tip.hidden = false;
    const left = Math.min(Math.max(x + 14, 4), place.clientWidth - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(left, 2)}px`;
    tip.style.top = `${Math.max(Math.min(y + 14, place.clientHeight - tip.offsetHeight - 4), 2)}px`;
  };
  const hideTip = (place) => { tipOf(place).hidden = true; };
  const width = (place) => Math.max(place.clientWidth, 220);

  // Of ticks (place between 0 and 1, words) those that have room, the first and the last before the others.
  const roomy = (ticks, pixels, each) => {
    const kept = [], order = ticks.length ? [0, ticks.length - 1, ...ticks.map((_, k) => k).slice(1, -1)] : [];
    order.forEach((k) => {
      const half = each ? each / 2 : (ticks[k][1].length * 6.6 + 8) / 2, at = ticks[k][0] * pixels;
      if (!kept.some(([other, its]) => Math.abs(other - at) < half + its)) kept.push([at, half, k]);
    });
    return kept.map((one) => ticks[one[2]]).sort((a, b) => a[0] - b[0]);
  };
  const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7];
  const LINES = ["--c-scored", "--c-pruned", "--c-best", "--c-default", "--c-failed", "--link", "--warn", "--soft"];

  // What a tooltip says of trial k of the drawn ones.
  const told = (d, k) => {
    const lines = [`trial ${d.n[k]}: ${STATES[d.state[k]]}${d.score[k] === null ? "" : `, ${d.metric} ${short(d.score[k], 6)}`}`];
    d.params.forEach((each, place) => { if (d.v[place][k] !== null) lines.push(`${each.name} ${short(d.v[place][k])}`); });
    return lines.join("\n");
  };
  const axes = (t, x, y) => [
    { stroke: t.soft, font: FONT, grid: { stroke: t.grid, width: 1 }, ticks: { stroke: t.grid, width: 1 }, size: 34, ...x },
    { stroke: t.soft, font: FONT, grid: { stroke: t.grid, width: 1 }, ticks: { stroke: t.grid, width: 1 }, size: 58,
      values: (_, values) => values.map((each) => (each === null ? "" : short(each))), ...y },
  ];
  const points = (label, fill, size) => ({
    label, stroke: fill, width: 0, paths: () => null, points: { show: true, size, fill, stroke: fill, width: 0 },
  });
  const opens = (place, url) => { if (url) window.location.assign(url); };

  // Circles for scored, diamonds are costly: pruned and failed differ in colour, and the key and the tooltip say which.
  function history(place, d) {
    if (d.best === null) return none(place, "No trial has a score yet.");
    const t = theme();
    const of = (letter) => d.n.map((_, k) => (d.state[k] === letter ? d.y[k] : null));
    let at = 0, best = null;
    const steps = d.n.map((n) => {
      while (at < d.steps.length && d.steps[at][0] <= n) best = d.steps[at++][1];
      return best;
    });
    const size = d.n.length < 150 ? 7 : d.n.length < 350 ? 5 : 4;
    const last = d.last;
    const chart = new uPlot({
      width: width(place), height: 300, padding: [12, 12, 0, 4], legend: { show: false },
      cursor: { points: { show: false }, drag: { x: true, y: false } },
      scales: { x: { time: false, range: (_, low, high) => [low, Math.max(high, low + 1)] }, y: { range: (u) => [d.low, d.high] } },
      axes: axes(t, { values: (_, values) => values.map((each) => (Number.isInteger(each) ? each : "")) }),
      series: [{}, points("failed", t.failed, size), points("pruned", t.pruned, size), points("scored", t.scored, size),
        { label: "best so far", stroke: t.best, width: 2, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
      hooks: {
        draw: [(u) => {
          const c = u.ctx, r = devicePixelRatio;
          c.save();
          c.font = `${12 * r}px system-ui, sans-serif`;
          if (d.standard && d.standard[0] !== d.best) {
            const y = Math.round(u.valToPos(Math.min(Math.max(d.standard[1], d.low), d.high), "y", true));
            c.strokeStyle = t.standard; c.fillStyle = t.standard; c.lineWidth = r; c.setLineDash([5 * r, 4 * r]);
            c.beginPath(); c.moveTo(u.bbox.left, y); c.lineTo(u.bbox.left + u.bbox.width, y); c.stroke();
            c.setLineDash([]); c.textAlign = "right"; c.textBaseline = d.goal === "maximize" ? "top" : "bottom";
            halo(c, `default ${short(d.standard[1], 6)}`, u.bbox.left + u.bbox.width - 4 * r, y + (d.goal === "maximize" ? 4 : -4) * r, t.card, t.standard, r);
          }
          const top = d.steps[d.steps.length - 1];
          const x = u.valToPos(d.best, "x", true), y = u.valToPos(top[1], "y", true);
          if (x >= u.bbox.left && x <= u.bbox.left + u.bbox.width) {
            c.strokeStyle = t.best; c.lineWidth = 2 * r; c.beginPath(); c.arc(x, y, 6 * r, 0, 7); c.stroke();
            const right = d.best > 0.6 * last;
            c.textAlign = right ? "right" : "left"; c.textBaseline = d.goal === "maximize" ? "bottom" : "top";
            halo(c, `best ${short(top[1], 6)} (trial ${d.best})`, x + (right ? -10 : 10) * r, y + (d.goal === "maximize" ? -8 : 8) * r, t.card, t.best, r);
          }
          c.restore();
        }],
        setCursor: [(u) => {
          const k = nearest(u, d.n, d.y);
          if (k === null) return hideTip(place);
          showTip(place, u.cursor.left + u.over.offsetLeft, u.cursor.top, told(d, k));
        }],
      },
    }, [d.n, of("f"), of("p"), of("s"), steps], place);
    chart.over.addEventListener("click", () => {
      const k = nearest(chart, d.n, d.y);
      if (k !== null) opens(place, d.trial_url.replace("{n}", d.n[k]));
    });
    chart.over.addEventListener("mouseleave", () => hideTip(place));
    return chart;
  }
  function halo(c, words, x, y, back, front, r) {
    c.lineJoin = "round"; c.lineWidth = 4 * r; c.strokeStyle = back; c.strokeText(words, x, y);
    c.fillStyle = front; c.fillText(words, x, y);
  }
  // The trial that lies nearest to the pointer, within 24 pixels.
  function nearest(u, xs, ys) {
    const { left, top } = u.cursor;
    if (left === null || left === undefined || left < 0) return null;
    let found = null, least = 24 * 24;
    for (let k = 0; k < xs.length; k++) {
      if (xs[k] === null || ys[k] === null) continue;
      const dx = u.valToPos(xs[k], "x") - left;
      if (Math.abs(dx) > 24) continue;
      const dy = u.valToPos(ys[k], "y") - top, far = dx * dx + dy * dy;
      if (far < least) { least = far; found = k; }
    }
    return found;
  }

  function slices(place, d) {
    if (d.best === null) return none(place, "No trial has a score yet.");
    const t = theme(), charts = [];
    place.classList.add("small-multiples");
    d.params.forEach((each, p) => {
      const box = document.createElement("div"), head = document.createElement("h3"), at = document.createElement("div");
      head.textContent = each.caption;
      at.className = "plot";
      box.append(head, at);
      place.append(box);
      const order = [];
      const xs = d.n.map((n, k) => (d.u[p][k] === null ? null : d.u[p][k] + (each.crowded ? ((((n * 0.618034) % 1) - 0.5) * each.crowded) : 0)));
      d.n.forEach((_, k) => { if (xs[k] !== null && d.y[k] !== null) order.push(k); });
      order.sort((a, b) => xs[a] - xs[b]);
      const x = order.map((k) => xs[k]), y = order.map((k) => d.y[k]);
      const of = (letter) => order.map((k) => (d.state[k] === letter ? d.y[k] : null));
      const size = order.length < 150 ? 5 : 3.5, ticks = roomy(each.ticks, width(at) - 66);
      const chart = new uPlot({
        width: width(at), height: 176, padding: [6, 8, 0, 0], legend: { show: false }, cursor: { points: { show: false }, drag: { x: false, y: false }, y: false },
        scales: { x: { time: false, range: () => [-0.06, 1.06] }, y: { range: () => [d.low, d.high] } },
        axes: axes(t, { size: 26, splits: () => ticks.map((tick) => tick[0]), values: () => ticks.map((tick) => tick[1]), grid: { show: !each.crowded, stroke: t.grid, width: 1 } }, { size: 50 }),
        series: [{}, points("failed", t.failed, size), points("pruned", t.pruned, size), points("scored", t.scored, size),
          { ...points("best", t.best, 10), points: { show: true, size: 10, stroke: t.best, fill: "transparent", width: 2 } }],
        hooks: { setCursor: [(u) => {
          const k = nearest(u, x, y);
          if (k === null) return hideTip(at);
          showTip(at, u.cursor.left + u.over.offsetLeft, u.cursor.top, told(d, order[k]));
        }] },
      }, [x, of("f"), of("p"), of("s"), order.map((k) => (d.n[k] === d.best ? d.y[k] : null))], at);
      chart.over.addEventListener("mouseleave", () => hideTip(at));
      chart.over.addEventListener("click", () => {
        const k = nearest(chart, x, y);
        if (k !== null) opens(at, d.trial_url.replace("{n}", d.n[order[k]]));
      });
      charts.push(chart);
    });
    return { destroy: () => { charts.forEach((each) => each.destroy()); place.textContent = ""; place.classList.remove("small-multiples"); },
      setSize: () => charts.forEach((each) => each.setSize({ width: width(each.root.parentElement), height: 176 })) };
  }

  // A canvas at the screen's own resolution.
  function canvas(place, height) {
    const made = document.createElement("canvas"), r = devicePixelRatio || 1, w = width(place);
    made.width = w * r; made.height = height * r; made.style.width = `${w}px`; made.style.height = `${height}px`;
    made.setAttribute("aria-hidden", "true");
    place.append(made);
    const c = made.getContext("2d");
    c.scale(r, r);
    c.font = FONT;
    return { made, c, w };
  }
  function mixed(share, stops) {
    const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1), k = Math.min(Math.floor(at), stops.length - 2), f = at - k;
    return `rgb(${stops[k].map((each, i) => Math.round(each + (stops[k + 1][i] - each) * f)).join(",")})`;
  }
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  function parallel(place, d) {
    if (d.best === null) return none(place, "No trial has a score yet.");
    const figure = place.closest("figure"), slider = figure.querySelector("input[type=range]"), said = figure.querySelector("output");
    const names = [...d.params.map((each) => each.name), d.metric];
    const height = 330, top = 30, bottom = 300, lane = 322, hasLane = d.u.some((each) => each.some((value) => value === null));
    const bed = document.createElement("div");
    place.append(bed);
    bed.className = "plot";
    const need = Math.max(width(place), names.length * 84);
    const inner = document.createElement("div");
    inner.className = "plot";
    inner.style.width = `${need}px`;
    bed.style.overflowX = "auto";
    bed.tabIndex = need > width(place) ? 0 : -1;
    bed.append(inner);
    const ranked = d.n.map((_, k) => k).filter((k) => d.score[k] !== null);
    const sign = d.goal === "maximize" ? 1 : -1;
    ranked.sort((a, b) => sign * (d.score[a] - d.score[b]));
    const x = (axis) => 34 + (axis * (need - 34 - 78)) / Math.max(names.length - 1, 1);
    const ys = (k) => {
      const jitter = (((d.n[k] * 0.618034) % 1) - 0.5) * 0.05;
      const found = d.params.map((each, p) => (d.u[p][k] === null ? lane + jitter * 60 : bottom - (bottom - top) * Math.min(Math.max(d.u[p][k] + (each.crowded ? jitter : 0), 0), 1)));
      const score = Math.min(Math.max(d.score[k], d.low), d.high), share = (score - d.low) / (d.high - d.low);
      return [...found, bottom - (bottom - top) * (d.goal === "maximize" ? share : 1 - share)];
    };
    const lines = ranked.map(ys);
    let made = null, pointed = null;
    function paint() {
      if (made) made.remove();
      const t = theme(), drawnOn = canvas(inner, hasLane ? 340 : height), c = drawnOn.c;
      made = drawnOn.made;
      const stops = [t.grid, t.scored, t.best].map(rgb), shown = Number(slider ? slider.value : 100);
      const from = Math.floor(ranked.length * (1 - shown / 100));
      for (let place = from; place < ranked.length; place++) {
        const share = (place + 1) / ranked.length, isBest = d.n[ranked[place]] === d.best, isPointed = place === pointed;
        c.strokeStyle = isPointed ? t.failed : isBest ? t.best : mixed(share, stops);
        c.globalAlpha = isPointed || isBest ? 1 : Math.max(ranked.length > 120 ? 0.1 : 0.25, share ** 4);
        c.lineWidth = isPointed || isBest ? 2.6 : 1.2;
        c.setLineDash(d.state[ranked[place]] === "p" ? [5, 4] : []);
        stroke(c, lines[place], x);
      }
      if (pointed !== null && pointed >= from) { c.globalAlpha = 1; c.strokeStyle = t.failed; c.lineWidth = 2.8; c.setLineDash([]); stroke(c, lines[pointed], x); }
      c.globalAlpha = 1; c.setLineDash([]);
      names.forEach((name, axis) => {
        c.strokeStyle = t.line; c.lineWidth = 1; c.beginPath(); c.moveTo(x(axis), top); c.lineTo(x(axis), bottom); c.stroke();
        c.textAlign = axis === 0 ? "left" : "center"; c.textBaseline = "alphabetic"; c.font = FONT;
        const room = 80, words = name.length * 6.6 > room ? `${name.slice(0, Math.floor(room / 6.6) - 1)}…` : name;
        c.fillStyle = t.ink; c.fillText(words, axis === 0 ? 6 : x(axis), 16);
        const ticks = roomy(axis < d.params.length ? d.params[axis].ticks : d.score_ticks, bottom - top, 24);
        c.textAlign = "left"; c.textBaseline = "middle"; c.font = "11px system-ui, sans-serif";
        ticks.forEach(([u, words_]) => halo(c, words_, x(axis) + 5, bottom - (bottom - top) * u, t.card, t.soft, 1));
      });
      if (hasLane) { c.fillStyle = t.soft; c.textAlign = "left"; c.font = "11px system-ui, sans-serif"; c.fillText("has it not", 2, lane + 12); }
      if (said) said.textContent = `${ranked.length - from} of ${ranked.length} shown`;
    }
    function stroke(c, line, at) {
      c.beginPath();
      line.forEach((y, axis) => (axis ? c.lineTo(at(axis), y) : c.moveTo(at(0), y)));
      c.stroke();
    }
    function point(event) {
      const box = inner.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
      const axis = Math.min(Math.max(Math.floor(((px - x(0)) / (x(1) - x(0) || 1))), 0), Math.max(names.length - 2, 0));
      const f = (px - x(axis)) / ((x(axis + 1) - x(axis)) || 1), from = Math.floor(ranked.length * (1 - Number(slider ? slider.value : 100) / 100));
      let found = null, least = 9;
      for (let k = from; k < lines.length; k++) {
        const y = lines[k][axis] + (lines[k][Math.min(axis + 1, names.length - 1)] - lines[k][axis]) * f, far = Math.abs(y - py);
        if (far <= least) { least = far; found = k; }
      }
      if (found !== pointed) { pointed = found; paint(); }
      if (found === null) hideTip(inner); else showTip(inner, px, py, told(d, ranked[found]));
    }
    inner.addEventListener("mousemove", point);
    inner.addEventListener("mouseleave", () => { pointed = null; hideTip(inner); paint(); });
    inner.addEventListener("click", () => { if (pointed !== null) opens(inner, d.trial_url.replace("{n}", d.n[ranked[pointed]])); });
    if (slider) slider.oninput = () => paint();
    paint();
    return { destroy: () => { place.textContent = ""; } };
  }

  function curves(place, d) {
    const t = theme(), numbers = Object.keys(d.curves).map(Number);
    if (!numbers.length) return none(place, "No trial has reported a step.");
    const steps = [...new Set(numbers.flatMap((n) => d.curves[n].map((point) => point[0])))].sort((a, b) => a - b);
    const log = d.rungs.length > 0 && steps[0] > 0 && steps[steps.length - 1] / steps[0] >= 8;
    const where = new Map(steps.map((each, k) => [each, k]));
    numbers.sort((a, b) => (a === d.best) - (b === d.best));
    const faint = Math.max(0.3, Math.min(0.85, 25 / numbers.length));
    const look = (n) => (d.named && numbers.length > 1 ? colour(LINES[numbers.indexOf(n) % LINES.length]) : n === d.best ? t.best : d.states[n] === "running" ? t.running : d.states[n] === "pruned" ? t.pruned : d.states[n] === "failed" ? t.failed : t.scored);
    const data = [steps, ...numbers.map((n) => {
      const line = new Array(steps.length).fill(null);
      d.curves[n].forEach(([step, value]) => { line[where.get(step)] = value; });
      return line;
    })];
    const chart = new uPlot({
      width: width(place), height: 300, padding: [d.rungs.length ? 26 : 12, 12, 0, 4], legend: { show: false },
      cursor: { points: { show: false }, focus: { prox: 24 }, drag: { x: true, y: false } }, focus: { alpha: 0.35 },
      scales: { x: { time: false, ...(log ? { distr: 3, log: 10, range: () => [steps[0] * 0.85, steps[steps.length - 1] * 1.08] } : {}) }, y: { range: () => [d.low, d.high] } },
      axes: axes(t, log ? { splits: () => [...new Set([...d.rungs.map((each) => each.rung), steps[steps.length - 1]])], values: (_, values) => values, filter: (_, splits) => splits } : { incrs: WHOLE }),
      series: [{}, ...numbers.map((n) => ({ label: String(n), stroke: look(n), width: n === d.best ? 3 : d.named ? 2 : 1.3, alpha: d.named || n === d.best || d.states[n] === "running" ? 1 : faint, spanGaps: true,
        points: { show: d.curves[n].length < 2, size: 5, fill: look(n) } }))],
      hooks: {
        draw: [(u) => {
          const c = u.ctx, r = devicePixelRatio;
          c.save(); c.font = `${11 * r}px system-ui, sans-serif`; c.textAlign = "center"; c.textBaseline = "bottom";
          const ends = [-1e9, -1e9];
          if (d.named && numbers.length > 1) {
            c.textAlign = "right"; c.textBaseline = "bottom";
            numbers.forEach((n) => {
              const line = d.curves[n], end = line[line.length - 1];
              halo(c, `trial ${n}`, u.valToPos(end[0], "x", true) - 2 * r, u.valToPos(end[1], "y", true) - 3 * r, t.card, look(n), r);
            });
            c.textAlign = "center";
          }
          d.rungs.forEach((each) => {
            const x = u.valToPos(each.rung, "x", true);
            if (!(x >= u.bbox.left && x <= u.bbox.left + u.bbox.width)) return;
            c.strokeStyle = t.soft; c.lineWidth = r; c.setLineDash([3 * r, 4 * r]);
            c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke();
            c.setLineDash([]);
            const y = u.valToPos(each.cutoff, "y", true);
            c.strokeStyle = t.ink; c.lineWidth = 3 * r; c.beginPath(); c.moveTo(x - 13 * r, y); c.lineTo(x + 13 * r, y); c.stroke();
            const words = `${each.came} came` + (each.stopped ? `, ${each.stopped} stopped` : ""), half = c.measureText(words).width / 2;
            const centre = Math.min(Math.max(x, u.bbox.left + half), u.bbox.left + u.bbox.width - half);
            const level = ends.findIndex((end) => centre - half > end + 8 * r);
            if (level < 0) return;
            ends[level] = centre + half;
            c.fillStyle = t.soft; c.fillText(words, centre, u.bbox.top - (2 + 12 * level) * r);
          });
          c.restore();
        }],
        setCursor: [(u) => {
          const k = u.cursor.focused;
          if (!k || u.cursor.left < 0) return hideTip(place);
          const n = numbers[k - 1], line = d.curves[n], last = line[line.length - 1];
          showTip(place, u.cursor.left + u.over.offsetLeft, u.cursor.top, `trial ${n}: ${d.states[n]}\nlast report ${short(last[1], 6)} at step ${last[0]}`);
        }],
        setSeries: [(u, k) => { u.cursor.focused = k; }],
      },
    }, data, place);
    chart.over.addEventListener("mouseleave", () => hideTip(place));
    chart.over.addEventListener("click", () => { if (chart.cursor.focused && d.trial_url) opens(place, d.trial_url.replace("{n}", numbers[chart.cursor.focused - 1])); });
    return chart;
  }

  function timeline(place, d) {
    if (!d.runs.length) return none(place, "No trial has run yet.");
    const t = theme(), row = 24, left = Math.min(150, 24 + 7 * Math.max(...d.workers.map((each) => each.length)));
    const height = d.workers.length * row + 34, first = Math.min(...d.runs.map((each) => each.from)), last = Math.max(...d.runs.map((each) => each.to));
    const { made, c, w } = canvas(place, height);
    const x = (at) => left + ((at - first) / Math.max(last - first, 1)) * (w - left - 8);
    const look = { scored: t.scored, pruned: t.pruned, fault: t.failed, running: t.running };
    const boxes = [];
    const steps = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800];
    const step = steps.find((each) => (last - first) / each <= Math.max((w - left) / 110, 2)) || 2592000;
    c.textBaseline = "middle";
    for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
      c.strokeStyle = t.grid; c.lineWidth = 1; c.beginPath(); c.moveTo(x(at), 0); c.lineTo(x(at), height - 26); c.stroke();
      const when = new Date(at * 1000), words = step >= 86400 ? when.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) : when.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(step < 60 ? { second: "2-digit" } : {}) });
      c.fillStyle = t.soft; c.textAlign = "center"; c.fillText(words, Math.min(Math.max(x(at), left + 16), w - 24), height - 12);
    }
    d.workers.forEach((worker, k) => {
      c.fillStyle = t.soft; c.textAlign = "left";
      const words = worker.length * 6.8 > left - 8 ? `…${worker.slice(-Math.floor((left - 16) / 6.8))}` : worker;
      c.fillText(words, 0, k * row + row / 2);
      c.strokeStyle = t.grid; c.beginPath(); c.moveTo(left, k * row + row - 0.5); c.lineTo(w, k * row + row - 0.5); c.stroke();
    });
    d.runs.forEach((run) => {
      const from = x(run.from), wide = Math.max(x(run.to) - from - 1, 1.5), y = run.worker * row + 4;
      c.fillStyle = run.trial === d.best ? t.best : look[run.end] || t.line;
      c.beginPath(); c.roundRect(from, y, wide, row - 9, 2); c.fill();
      const words = String(run.trial);
      if (wide > words.length * 7 + 6) { c.fillStyle = t.card; c.textAlign = "center"; c.fillText(words, from + wide / 2, y + (row - 9) / 2 + 0.5); }
      boxes.push([from, y, wide, run]);
    });
    const found = (event) => {
      const box = made.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
      return [px, py, boxes.find(([fx, fy, fw]) => px >= fx - 1 && px <= fx + fw + 1 && py >= fy && py <= fy + row - 8)];
    };
    made.addEventListener("mousemove", (event) => {
      const [px, py, hit] = found(event);
      if (!hit) return hideTip(place);
      const run = hit[3];
      made.style.cursor = "pointer";
      showTip(place, px, py, `trial ${run.trial}${run.attempt > 1 ? `, attempt ${run.attempt}` : ""}: ${run.fault || run.end}\n${Math.round(run.to - run.from)} s on ${d.workers[run.worker]}`);
    });
    made.addEventListener("mouseleave", () => hideTip(place));
    made.addEventListener("click", (event) => { const hit = found(event)[2]; if (hit) opens(place, d.trial_url.replace("{n}", hit[3].trial)); });
    return { destroy: () => { place.textContent = ""; } };
  }

  const KINDS = { history, slices, parallel, curves, timeline };
  async function draw(figure) {
    const place = figure.querySelector(".plot"), kind = KINDS[figure.dataset.chart];
    try {
      const data = await get(figure.dataset.src);
      const facts = figure.querySelector("[data-facts]");
      if (facts && data.facts) facts.textContent = data.facts.join(". ");
      if (figure.chart) figure.chart.destroy();
      place.textContent = "";
      figure.chart = kind(place, data);
      if (data.facts) { place.setAttribute("role", "img"); place.setAttribute("aria-label", `${figure.dataset.chart}: ${data.facts.join(". ")}`); }
      drawn.add(figure);
      figure.dataset.drawn = "yes";
    } catch (error) {
      none(place, `This chart cannot be drawn: ${error.message}.`);
      figure.dataset.drawn = "no";
    }
  }
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); }
  }), { rootMargin: "300px" });
  const begin = (root) => root.querySelectorAll("figure[data-chart]:not([data-drawn])").forEach((each) => watcher.observe(each));
  const again = () => drawn.forEach((each) => (each.isConnected ? draw(each) : drawn.delete(each)));
  let waits = 0, known = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === known) return;
    known = window.innerWidth;
    clearTimeout(waits);
    waits = setTimeout(again, 150);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  // A live page tells that its study has moved on: what was drawn is asked for again, the shared data once.
  document.addEventListener("board:moved", () => {
    asked.clear();
    again();
  });
  document.addEventListener("DOMContentLoaded", () => begin(document));
  window.celeriacCharts = { begin, again, draw, kinds: KINDS, width, none, axes, theme, short, showTip, hideTip, colour };
})();
