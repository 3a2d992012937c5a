// Numbers as Grafana's units write them.
"use strict";

function trim(value, digits = 3) {
  if (value === 0) return "0";
  const text = Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(digits);
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}

function scaled(value, steps) {
  const [factor, name] = steps.find(([limit]) => Math.abs(value) >= limit) || steps[steps.length - 1];
  return trim(value / (factor || 1)) + name;
}

const SECONDS = [[86400, " d"], [3600, " h"], [60, " min"], [1, " s"], [1e-3, " ms"], [1e-6, " µs"]];
const BYTES = [[2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"], [1, " B"]];
const COUNTS = [[1e6, " M"], [1e3, " K"], [0, ""]];

function ago(milliseconds) {
  const seconds = ANSWERED.end - milliseconds / 1000;
  return seconds < 45 ? "a few seconds ago" : seconds < 90 ? "a minute ago" : Math.round(seconds / 60) + " minutes ago";
}

const UNITS = {
  s: (value) => (value === 0 ? "0 s" : scaled(value, SECONDS)),
  bytes: (value) => scaled(value, BYTES),
  percentunit: (value) => trim(value * 100) + "%",
  reqps: (value) => trim(value) + " req/s",
  ops: (value) => trim(value) + " ops/s",
  cps: (value) => trim(value) + " c/s",
  short: (value) => (value === 0 ? "0" : scaled(value, COUNTS)),
  dateTimeFromNow: ago,
  string: String,
};

function write(value, unit, decimals) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === Infinity) return "∞";
  if (decimals !== undefined && unit === "short" && value < 1000) return value.toFixed(decimals);
  return (UNITS[unit] || UNITS.short)(value);
}
