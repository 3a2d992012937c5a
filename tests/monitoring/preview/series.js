// From answers to named series, and what the panel's settings say of them.
"use strict";

const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A900", "#6A51A3", "#8E8E8E"];

function nameOf(target, metric, fallback) {
  if (!target.legendFormat) return fallback;
  return target.legendFormat.replace(/{{(\w+)}}/g, (_, label) => metric[label] || "").trim() || fallback;
}

function seriesOf(panel) {
  return panel.targets.flatMap((target) =>
    target.answer.map((one) => ({
      name: nameOf(target, one.metric, panel.title),
      metric: one.metric,
      points: (one.values || [one.value]).map(([time, value]) => [time, Number(value)]),
    }))
  );
}

function lastOf(series) {
  const known = series.points.filter(([, value]) => !Number.isNaN(value));
  return known.length ? known[known.length - 1][1] : null;
}

function looksOf(panel, name) {
  const found = panel.fieldConfig.overrides.filter((override) => override.matcher.options === name);
  return Object.fromEntries(found.flatMap((override) => override.properties).map((look) => [look.id, look.value]));
}

// Each name's color: the one that the panel says, or one of those that are left.
function colorsOf(panel, all) {
  const names = [...new Set(all.map((series) => series.name))];
  const fixed = new Map(names.map((name) => [name, looksOf(panel, name).color?.fixedColor]));
  const left = PALETTE.filter((color) => ![...fixed.values()].includes(color));
  let next = 0;
  return new Map(names.map((name) => [name, fixed.get(name) || left[next++ % left.length]]));
}

function mapped(mappings, value) {
  for (const mapping of mappings || []) {
    const options = mapping.options;
    if (mapping.type === "value" && options[String(value)]) return options[String(value)];
    const inside = value !== null && value >= (options.from ?? -Infinity) && value <= (options.to ?? Infinity);
    if (mapping.type === "range" && inside) return options.result;
  }
  return null;
}

function thresholdOf(panel, value) {
  const steps = panel.fieldConfig.defaults.thresholds.steps;
  return steps.filter((step) => step.value === null || step.value === undefined || value >= step.value).pop().color;
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.textContent = text;
  return made;
}
