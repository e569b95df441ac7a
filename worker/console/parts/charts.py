"""Charts: drawn by ECharts in the browser, and told in words for those who do not see them.

Data is only ever a value of ``options``, never a key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nicegui import ui

from worker.console.parts.boxes import box
from worker.console.parts.texts import clean, text

COLOURS: Final = {"good": "#3aa076", "bad": "#e5534b", "busy": "#4c7dff", "wait": "#b98c2f"}
FEW: Final = 20
"""Points that are marked each; one alone would be no line."""
GREY: Final = "#8b93a7"


@dataclass(frozen=True)
class Series:
    """One line or one set of bars."""

    name: str
    tone: Literal["good", "bad", "busy", "wait"]
    values: Sequence[float | None]


class Chart:
    """A chart over time whose values are set anew, in place.

    Args:
        name: what it shows.
        kind: ``bar`` (stacked) or ``line``.
        unit: of its values.
    """

    def __init__(self, name: str, kind: Literal["bar", "line"], unit: str = "") -> None:
        self._name = name
        self._kind = kind
        self._unit = unit
        self._shown: tuple[Any, ...] = ()
        with box("chart") as whole:
            whole.props.update({"role": "img", "aria-label": clean(name)})
            self._chart = ui.echart(self._options([], []), renderer="svg")
        self._whole = whole
        self._words = text("", "p", "unseen")

    def set(self, labels: Sequence[str], series: Sequence[Series], words: str) -> None:
        """Show other values.

        Args:
            labels: of the moments.
            series: with one value for each of them.
            words: what it shows, in a sentence.
        """
        shown = (tuple(labels), tuple((one.name, tuple(one.values)) for one in series), words)
        if shown == self._shown:
            return
        self._shown = shown
        self._words.text = clean(words)
        options = self._chart.options
        options.clear()
        options.update(self._options(labels, series))
        self._chart.update()

    def _options(self, labels: Sequence[str], series: Sequence[Series]) -> dict[str, Any]:
        lines = {"lineStyle": {"color": "rgba(139,147,167,0.25)"}}
        return {
            "animation": False,
            "grid": {"left": 8, "right": 8, "top": 28, "bottom": 4, "containLabel": True},
            "legend": {
                "top": 0,
                "left": 0,
                "icon": "roundRect",
                "itemWidth": 10,
                "itemHeight": 10,
                "textStyle": {"color": GREY},
            },
            "tooltip": {"trigger": "axis", "confine": True, "renderMode": "richText"},
            "xAxis": {
                "type": "category",
                "data": [clean(one) for one in labels],
                "axisLabel": {"color": GREY, "hideOverlap": True},
                "axisTick": {"show": False},
                "axisLine": lines,
            },
            "yAxis": {
                "type": "value",
                "minInterval": 1 if self._kind == "bar" else 0,
                "axisLabel": {"color": GREY, "formatter": "{value}" + self._unit},
                "splitLine": lines,
                "splitNumber": 3,
            },
            "series": [
                {
                    "name": clean(one.name),
                    "type": self._kind,
                    "data": list(one.values),
                    "stack": "all" if self._kind == "bar" else None,
                    "showSymbol": sum(value is not None for value in one.values) < FEW,
                    "showAllSymbol": True,  # on a phone, too, where a single one would be left out
                    "symbolSize": 5,
                    "connectNulls": True,
                    "barCategoryGap": "15%",
                    "itemStyle": {"color": COLOURS[one.tone]},
                    "lineStyle": {"width": 2},
                }
                for one in series
            ],
        }
