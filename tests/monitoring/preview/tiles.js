// Stat panels: a word on its color, a number before its trend, or a list of numbers.
"use strict";

function drawStat(panel, body, width, height) {
  const all = seriesOf(panel);
  const shown = all.map((series) => ({ ...series, value: lastOf(series) })).filter((series) => series.value !== null);
  if (!shown.length) return body.append(element("div", { class: "none" }, panel.fieldConfig.defaults.noValue));
  if (panel.options.textMode === "value_and_name") return drawList(panel, body, shown);
  const defaults = panel.fieldConfig.defaults;
  const { value } = shown[0];
  const word = mapped(defaults.mappings, value);
  const color = word ? word.color : thresholdOf(panel, value);
  const isFilled = panel.options.colorMode === "background_solid";
  if (panel.options.graphMode === "area") body.append(spark(shown[0].points, color, width, height));
  const style = isFilled ? `background:${color};color:#fff` : `color:${color}`;
  body.append(element("div", { class: "big", style }, word ? word.text : write(value, defaults.unit, defaults.decimals)));
}

function drawList(panel, body, shown) {
  const { unit, decimals } = panel.fieldConfig.defaults;
  const rows = shown.map(({ name, value }) => {
    const number = element("b", { style: `color:${thresholdOf(panel, value)}` }, write(value, unit, decimals));
    return element("div", {}, element("span", {}, name), number);
  });
  body.append(element("div", { class: "list" }, ...rows));
}

function spark(points, color, width, height) {
  const svg = drawn("svg", { width, height });
  const known = points.filter(([, value]) => Number.isFinite(value));
  const most = Math.max(...known.map(([, value]) => value), 1e-9) * 1.6;
  const x = (time) => ((time - ANSWERED.start) / (ANSWERED.end - ANSWERED.start)) * width;
  const y = (value) => height - (value / most) * height;
  const line = known.map(([time, value]) => `${x(time)},${y(value)}`).join(" ");
  if (!known.length) return svg;
  const ends = [x(known[known.length - 1][0]), x(known[0][0])];
  svg.append(drawn("polygon", { points: `${line} ${ends[0]},${height} ${ends[1]},${height}`, fill: color, opacity: 0.15 }));
  svg.append(drawn("polyline", { points: line, fill: "none", stroke: color, opacity: 0.5 }));
  return svg;
}
