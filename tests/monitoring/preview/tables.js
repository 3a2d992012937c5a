// Tables: the queries' answers joined by their labels, renamed, ordered and sorted as the transformations say.
"use strict";

function drawTable(panel, body) {
  const columns = panel.fieldConfig.overrides.map((override) => ({
    title: override.matcher.options,
    ...Object.fromEntries(override.properties.map((look) => [look.id, look.value])),
  }));
  const { renameByName } = panel.transformations.find((one) => one.id === "organize").options;
  const fields = Object.fromEntries(Object.entries(renameByName).map(([field, title]) => [title, field]));
  const rows = joined(panel.targets);
  if (!rows.length) return body.append(element("div", { class: "none" }, panel.fieldConfig.defaults.noValue));
  const [{ displayName, desc }] = panel.options.sortBy;
  const key = fields[displayName];
  const order = desc ? -1 : 1;
  rows.sort((one, other) => (one[key] === other[key] ? 0 : (one[key] ?? "") < (other[key] ?? "") ? -order : order));
  const head = element("tr", {}, ...columns.map((column) => cell("th", column, column.title)));
  const lines = rows.map((row) => element("tr", {}, ...columns.map((column) => shown(column, row[fields[column.title]]))));
  body.append(element("table", {}, head, ...lines));
}

// Rows are one where the labels that all queries have are the same, as Grafana's `merge` has it.
function joined(targets) {
  const labels = targets.map((target) => new Set(target.answer.flatMap((one) => Object.keys(one.metric))));
  const shared = [...labels[0]].filter((label) => labels.every((own) => own.has(label)));
  const rows = new Map();
  for (const target of targets) {
    const field = targets.length > 1 ? `Value #${target.refId}` : "Value";
    for (const one of target.answer) {
      const key = JSON.stringify(targets.length > 1 ? shared.map((label) => one.metric[label]) : one.metric);
      rows.set(key, { ...rows.get(key), ...one.metric, [field]: Number(one.value[1]) });
    }
  }
  return [...rows.values()];
}

function shown(column, value) {
  const word = mapped(column.mappings, value ?? null);
  const text = word ? word.text : typeof value === "number" ? write(value, column.unit) : value || "";
  const made = cell("td", column, text);
  if (word) made.style.color = word.color;
  if (column.links) made.style.color = "#0072B2";
  return made;
}

function cell(tag, column, text) {
  const isNumber = column.unit !== "string" && column.unit !== "dateTimeFromNow" && !column.mappings;
  const made = element(tag, isNumber ? { class: "number" } : {}, text);
  if (column["custom.width"]) made.style.width = `${column["custom.width"]}px`;
  return made;
}
