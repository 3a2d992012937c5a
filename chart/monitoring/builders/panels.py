"""The kinds of panels, each in the one form that every dashboard uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from chart.monitoring.builders.names import RUNBOOK_LINK
from chart.monitoring.builders.palette import GREEN, RED, WORDS
from chart.monitoring.builders.sdk import (
    common,
    common_models,
    dashboard,
    heatmap,
    heatmap_models,
    models,
    prometheus,
    prometheus_models,
    stat,
    table,
    timeseries,
)
from chart.monitoring.builders.variables import DATASOURCE

Levels = Sequence[tuple[float | None, str]]
FINE: Levels = ((None, GREEN),)
NONE_ALLOWED: Levels = ((None, GREEN), (1, RED))


@dataclass(frozen=True)
class Query:
    """One query of a panel and the name of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class About:
    """What every panel has: a title, what it says, its size, and the alerts whose cause it shows."""

    title: str
    description: str
    width: int = 8
    height: int = 8
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column of a table: its field, its heading, and how its values look."""

    field: str
    title: str
    unit: str = "string"
    mappings: tuple[Any, ...] = ()
    link: str = ""
    width: int | None = None


def tile(
    about: About,
    queries: Sequence[Query],
    unit: str = "short",
    levels: Levels = FINE,
    *,
    trend: bool = True,
    decimals: int | None = None,
) -> Any:
    """Return big numbers with the trend behind them."""
    panel = (
        stat.Panel()
        .unit(unit)
        .min(0)
        .thresholds(_thresholds(levels))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.AREA if trend else common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    return _finish(panel, about, queries, instant=not trend)


def signals(about: About, queries: Sequence[Query], levels: Levels = NONE_ALLOWED) -> Any:
    """Return a list of named numbers, each green or red."""
    panel = (
        stat.Panel()
        .unit("short")
        .decimals(0)
        .thresholds(_thresholds(levels))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
    )
    return _finish(panel, about, queries, instant=True)


def verdict(about: About, query: Query, good: str, bad: str) -> Any:
    """Return one word: green for 0, red for anything above."""
    panel = (
        stat.Panel()
        .unit("short")
        .thresholds(_thresholds(NONE_ALLOWED))
        .mappings([word(0, good, GREEN), above(0, bad, RED)])
        .color_mode(common_models.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
    )
    return _finish(panel, about, [query], instant=True)


def graph(
    about: About,
    queries: Sequence[Query],
    unit: str = "short",
    *,
    words: Sequence[str] = (),
    form: str = "line",
    dashed: Sequence[str] = (),
    highest: float | None = None,
) -> Any:
    """Return series over time: `line`, `stack`, or `bars` for events."""
    panel = (
        timeseries.Panel()
        .unit(unit)
        .min(0)
        .line_width(2 if form == "line" else 1)
        .fill_opacity({"line": 8, "stack": 35, "bars": 70}[form])
        .show_points(common_models.VisibilityMode.AUTO if form == "line" else common_models.VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if highest is not None:
        panel = panel.max(highest)
    if form == "bars":
        panel = panel.draw_style(common_models.GraphDrawStyle.BARS)
    if form != "line":
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    for name in words:
        panel = panel.override_by_name(name, _series_looks(name, dashed))
    return _finish(panel, about, queries)


def heat(about: About, expr: str, unit: str) -> Any:
    """Return a histogram over time."""
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Viridis")  # even steps of lightness, for every kind of sight
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common_models.AxisPlacement.LEFT))
        .cell_gap(1)
        .show_legend()
        .unit("short")
    )
    return _finish(panel, about, [Query(expr, "{{le}}")], style=prometheus_models.PromQueryFormat.HEATMAP)


def grid(
    about: About, queries: Sequence[Query], columns: Sequence[Column], sort: str, *, descending: bool = True
) -> Any:
    """Return a table of the queries' values, one row for each set of labels, sorted by a column."""
    panel = (
        table.Panel()
        .transformations(_arrange(columns, merge=len(queries) > 1))
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
        .no_value("none")
        .filterable(True)
    )
    for column in columns:
        panel = panel.override_by_name(column.title, _cell_looks(column))
    return _finish(panel, about, queries, instant=True, style=prometheus_models.PromQueryFormat.TABLE)


def word(value: object, text: str, color: str) -> Any:
    """Return the mapping of one value to a word."""
    return models.ValueMap(options={str(value): models.ValueMappingResult(text=text, color=color, index=0)})


def above(value: float, text: str, color: str) -> Any:
    """Return the mapping of every value above one to a word."""
    result = models.ValueMappingResult(text=text, color=color, index=1)
    return models.RangeMap(options=models.DashboardRangeMapOptions(from_val=value + 1e-9, to=None, result=result))


def _finish(panel: Any, about: About, queries: Sequence[Query], *, instant: bool = False, style: Any = None) -> Any:
    panel = (
        panel.title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .span(about.width)
        .height(about.height)
    )
    for ref_id, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_target(ref_id, query, instant=instant, style=style))
    if about.alerts:
        panel = panel.links([_runbook(alert) for alert in about.alerts])
    return panel


def _target(ref_id: str, query: Query, *, instant: bool, style: Any) -> Any:
    target = prometheus.Dataquery().ref_id(ref_id).expr(query.expr).datasource(DATASOURCE)
    target = target.instant() if instant else target.range()
    target = target.format(style or prometheus_models.PromQueryFormat.TIME_SERIES)
    return target.legend_format(query.legend) if query.legend else target


def _runbook(alert: str) -> Any:
    link = dashboard.DashboardLink(f"Runbook: {alert}").type(models.DashboardLinkType.LINK)
    return link.url(f"{RUNBOOK_LINK}{alert}.md").target_blank(True)


def _thresholds(levels: Levels) -> Any:
    steps = [models.Threshold(value=value, color=color) for value, color in levels]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _series_looks(name: str, dashed: Sequence[str]) -> list[Any]:
    looks = [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": WORDS[name]})]
    if name in dashed:
        looks += [
            models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
            models.DynamicConfigValue("custom.fillOpacity", 0),
            models.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "A"}),
        ]
    return looks


def _cell_looks(column: Column) -> list[Any]:
    looks = [models.DynamicConfigValue("unit", column.unit)]
    if column.mappings:
        looks.append(models.DynamicConfigValue("mappings", list(column.mappings)))
        looks.append(models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    if column.link:
        link = {"title": "Runbook", "url": column.link, "targetBlank": True}
        looks.append(models.DynamicConfigValue("links", [link]))
    if column.width:
        looks.append(models.DynamicConfigValue("custom.width", column.width))
    return looks


def _arrange(columns: Sequence[Column], *, merge: bool) -> list[Any]:
    order = {column.field: index for index, column in enumerate(columns)}
    names = {column.field: column.title for column in columns}
    organize = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    arranged = [models.DataTransformerConfig(id_val="organize", options=organize)]
    return [models.DataTransformerConfig(id_val="merge", options={}), *arranged] if merge else arranged
