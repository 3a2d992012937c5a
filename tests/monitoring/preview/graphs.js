// Time series as lines, stacks or bars, and histograms as heatmaps.
"use strict";

const MARGIN = { left: 62, right: 10, top: 8, bottom: 20 };

function frame(width, height, most, unit) {
  const svg = drawn("svg", { width, height });
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const x = (time) => MARGIN.left + ((time - ANSWERED.start) / (ANSWERED.end - ANSWERED.start)) * inner.width;
  const y = (value) => MARGIN.top + inner.height - (value / most) * inner.height;
  for (const tick of ticks(most)) {
    svg.append(drawn("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick), stroke: "#e4e6e8" }));
    svg.append(drawn("text", { x: MARGIN.left - 6, y: y(tick) + 3, "text-anchor": "end" }, write(tick, unit)));
  }
  timeAxis(svg, x, height);
  marks(svg, x, height);
  return { svg, x, y };
}

function ticks(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
  return Array.from({ length: Math.floor(most / step + 1.001) }, (_, index) => index * step);
}

function timeAxis(svg, x, height) {
  const every = Math.max(15, Math.ceil((ANSWERED.end - ANSWERED.start) / 6 / 15) * 15);
  for (let time = Math.ceil(ANSWERED.start / every) * every; time <= ANSWERED.end; time += every) {
    const text = new Date(time * 1000).toISOString().slice(11, 19);
    if (x(time) > x(ANSWERED.end) - 24) continue;
    svg.append(drawn("text", { x: x(time), y: height - 5, "text-anchor": "middle" }, text));
  }
}

// What is marked on every graph begins where its series does.
function marks(svg, x, height) {
  for (const mark of ANSWERED.dashboard.annotations.list) {
    const starts = new Set(mark.answer.map((series) => series.values[0][0]));
    starts.forEach((time) => {
      const place = { x1: x(time), x2: x(time), y1: MARGIN.top, y2: height - MARGIN.bottom };
      svg.append(drawn("line", { ...place, stroke: mark.iconColor, "stroke-dasharray": "3 3", opacity: 0.45 }));
    });
  }
}

function drawGraph(panel, body, width, height) {
  const custom = panel.fieldConfig.defaults.custom;
  const isBars = custom.drawStyle === "bars";
  const all = seriesOf(panel).sort((one, other) => (one.name < other.name ? -1 : 1));
  const colors = colorsOf(panel, all);
  all.forEach((series) => {
    const looks = looksOf(panel, series.name);
    series.color = colors.get(series.name);
    series.isDashed = Boolean(looks["custom.lineStyle"]);
    series.isStacked = custom.stacking?.mode === "normal" && !series.isDashed;
  });
  const stacked = stack(all.filter((series) => series.isStacked));
  const apart = all.filter((series) => !series.isStacked);
  const tops = [...stacked.flatMap((one) => one.tops), ...apart.flatMap((one) => one.points.map(([, value]) => value))];
  const known = tops.filter(Number.isFinite);
  if (!known.length) return body.append(element("div", { class: "none" }, "no data"));
  const most = panel.fieldConfig.defaults.max || Math.max(...known) * 1.08 || 1;
  const { svg, x, y } = frame(width, height, most, panel.fieldConfig.defaults.unit);
  stacked.forEach((one) => svg.append(...(isBars ? bars(one, x, y) : [area(one, x, y)])));
  apart.forEach((series) => svg.append(...lines(series, x, y, custom)));
  body.append(svg);
  return legend(all);
}

function stack(all) {
  const heights = new Map();
  return all.map((series) => {
    const steps = series.points.filter(([, value]) => Number.isFinite(value)).map(([time, value]) => {
      const bottom = heights.get(time) || 0;
      heights.set(time, bottom + value);
      return { time, bottom, top: bottom + value };
    });
    return { color: series.color, steps, tops: steps.map((step) => step.top) };
  });
}

function bars({ color, steps }, x, y) {
  const width = Math.max((x(ANSWERED.start + ANSWERED.step) - x(ANSWERED.start)) * 0.9, 1);
  return steps.filter(({ bottom, top }) => top > bottom).map(({ time, bottom, top }) =>
    drawn("rect", { x: x(time) - width / 2, y: y(top), width, height: y(bottom) - y(top), fill: color })
  );
}

function area({ color, steps }, x, y) {
  const upper = steps.map(({ time, top }) => `${x(time)},${y(top)}`);
  const lower = steps.map(({ time, bottom }) => `${x(time)},${y(bottom)}`).reverse();
  return drawn("polygon", { points: [...upper, ...lower].join(" "), fill: color, "fill-opacity": 0.4, stroke: color });
}

function lines(series, x, y, custom) {
  const runs = [[]];
  let before = null;
  for (const [time, value] of series.points) {
    if (!Number.isFinite(value) || (before !== null && time - before > ANSWERED.step * 1.5)) runs.push([]);
    if (Number.isFinite(value)) runs[runs.length - 1].push([x(time), y(value)]);
    before = time;
  }
  const style = { fill: "none", stroke: series.color, "stroke-width": custom.lineWidth };
  if (series.isDashed) style["stroke-dasharray"] = "8 6";
  return runs.filter((run) => run.length).map((run) =>
    run.length > 1
      ? drawn("polyline", { points: run.join(" "), "stroke-linecap": "round", ...style })
      : drawn("circle", { cx: run[0][0], cy: run[0][1], r: 3, fill: series.color })
  );
}

function legend(all) {
  const entries = new Map(all.map((series) => [series.name, series.color]));
  const spans = [...entries].map(([name, color]) =>
    element("span", {}, element("i", { style: `background:${color}` }), name)
  );
  return element("div", { class: "legend" }, ...spans);
}

// From dark to light as in viridis, few to many.
const HEAT = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

function drawHeat(panel, body, width, height) {
  const rows = seriesOf(panel)
    .map((series) => ({ ...series, bound: Number(series.metric.le.replace("+Inf", "Infinity")) }))
    .sort((one, other) => one.bound - other.bound);
  if (!rows.length) return body.append(element("div", { class: "none" }, "no data"));
  let below = new Map();
  const cells = rows.flatMap((row, level) => {
    const here = new Map(row.points);
    const counts = row.points.map(([time, value]) => ({ time, level, count: value - (below.get(time) || 0) }));
    below = here;
    return counts.filter(({ count }) => count > 1e-9);
  });
  const used = cells.map(({ level }) => level);
  const [lowest, highest] = [Math.min(...used), Math.max(...used)];
  const most = Math.max(...cells.map(({ count }) => count));
  const svg = drawn("svg", { width, height });
  const inner = height - MARGIN.top - MARGIN.bottom;
  const tall = inner / (highest - lowest + 1);
  const x = (time) =>
    MARGIN.left + ((time - ANSWERED.start) / (ANSWERED.end - ANSWERED.start)) * (width - MARGIN.left - MARGIN.right);
  const wide = x(ANSWERED.start + ANSWERED.step) - x(ANSWERED.start);
  for (const { time, level, count } of cells) {
    const fill = HEAT[Math.min(Math.floor(Math.sqrt(count / most) * HEAT.length), HEAT.length - 1)];
    const place = { x: x(time) - wide / 2, y: MARGIN.top + (highest - level) * tall + 0.5 };
    svg.append(drawn("rect", { ...place, width: wide + 0.3, height: tall - 1, fill }));
  }
  const every = Math.ceil(14 / tall);
  for (let level = lowest; level <= highest; level += every) {
    const text = write(rows[level].bound, panel.options.yAxis.unit);
    const y = MARGIN.top + (highest - level) * tall + 4;
    svg.append(drawn("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, text));
  }
  timeAxis(svg, x, height);
  body.append(svg);
}
