// The page: every panel in its place in Grafana's grid of 24 columns.
"use strict";

const DRAW = { stat: drawStat, timeseries: drawGraph, heatmap: drawHeat, table: drawTable };

function place(node, { x, y, w, h }) {
  const column = SIZES.width / 24;
  node.style.left = `${x * column}px`;
  node.style.top = `${SIZES.header + y * SIZES.unit}px`;
  node.style.width = `${w * column}px`;
  node.style.height = `${h * SIZES.unit}px`;
  document.body.append(node);
}

function drawPanel(panel) {
  const body = element("div", { class: "body" });
  const runbooks = (panel.links || []).length ? element("sup", {}, " ↗") : "";
  const box = element("div", { class: "box" }, element("div", { class: "title" }, panel.title, runbooks), body);
  place(element("div", { class: "panel" }, box), panel.gridPos);
  // Room for the legend is known once the body has its size.
  const isGraph = panel.type === "timeseries";
  const below = DRAW[panel.type](panel, body, body.clientWidth, body.clientHeight - (isGraph ? 30 : 0));
  if (below) box.append(below);
}

function header({ dashboard }) {
  const choices = dashboard.templating.list.filter((one) => one.type === "query");
  const variables = choices.map((one) => element("i", {}, `${one.label}: All`));
  document.body.append(
    element(
      "header",
      {},
      element("b", {}, dashboard.title),
      element("span", {}, "a preview drawn from Prometheus' answers, not Grafana"),
      element("p", {}, ...variables)
    )
  );
}

header(ANSWERED);
for (const panel of ANSWERED.dashboard.panels) {
  if (panel.type === "row") place(element("div", { class: "row" }, panel.title), panel.gridPos);
  else drawPanel(panel);
}
