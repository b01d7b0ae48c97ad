"""Draw the panels of the Grafana dashboard from what a Prometheus answers, without Grafana.

    python scripts/dashboard_picture.py http://localhost:9090 docs/images/dashboard.png [MINUTES]

The places, titles, units, expressions and legends are those of deploy/grafana/dashboards/fanbench.json; the lines are
drawn by matplotlib, so it looks like Grafana only in what it shows.
"""

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure

DASHBOARD = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "fanbench.json"
COLUMNS = 24
STEP_S = 2
RATE_INTERVAL = "20s"
LABEL = 16
"""Characters of a label that are drawn: enough for host:port, and to tell commits apart."""
UNITS = {"s": (1000.0, "ms"), "ops": (1.0, "per s"), "bytes": (1e-6, "MB"), "none": (1.0, "")}
"""For each of Grafana's units, the factor of the values and the unit that is drawn."""
Series = dict[str, Any]


def ask(prometheus: str, path: str, **parameters: object) -> list[Series]:
    """The series of a query; a query that Prometheus refuses raises HTTPError."""
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - the caller's own Prometheus
        found: list[Series] = json.load(answer)["data"]["result"]
    return found


def expression(target: Series) -> str:
    """A panel's expression with Grafana's variables filled in."""
    text: str = target["expr"]
    return text.replace("$instance", ".*").replace("$__rate_interval", RATE_INTERVAL)


def legend(target: Series, labels: dict[str, str]) -> str:
    """The target's legend with the labels of one of its series."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], "")[:LABEL], target["legendFormat"])


def draw_stat(axes: Axes, panel: Series, prometheus: str) -> None:
    """The newest values of a panel without a time axis."""
    axes.axis("off")
    axes.set_title(panel["title"], loc="left", fontsize=9)
    said = [
        f"{float(series['value'][1]):g}  {legend(target, series['metric'])}"
        for target in panel["targets"]
        for series in ask(prometheus, "query", query=expression(target))
    ]
    axes.text(0.02, 0.5, "\n".join(said), fontsize=11 if len(said) < 3 else 8, va="center", transform=axes.transAxes)


def draw_lines(axes: Axes, panel: Series, prometheus: str, start: float, end: float) -> None:
    """The series of a panel over the whole span."""
    factor, unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    for target in panel["targets"]:
        query = expression(target)
        for series in ask(prometheus, "query_range", query=query, start=start, end=end, step=STEP_S):
            points = [(datetime.fromtimestamp(at, UTC), float(value) * factor) for at, value in series["values"]]
            axes.plot(*zip(*points, strict=True), lw=1, label=legend(target, series["metric"]))
    axes.set_title(f"{panel['title']}{f' ({unit})' if unit else ''}", loc="left", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=5))
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6, loc="upper left")


def main(prometheus: str, picture: Path, minutes: float = 3) -> None:
    """Draw every panel at its place."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    end = time.time()
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(14, rows * 0.3), dpi=90, layout="constrained")
    grid = figure.add_gridspec(rows, COLUMNS)
    for panel in panels:
        place = panel["gridPos"]
        axes = figure.add_subplot(grid[place["y"] : place["y"] + place["h"], place["x"] : place["x"] + place["w"]])
        if panel["type"] == "stat":
            draw_stat(axes, panel, prometheus)
        else:
            draw_lines(axes, panel, prometheus, end - 60 * minutes, end)
    figure.suptitle(
        "The dashboard's panels, drawn by matplotlib from Prometheus' answers", fontsize=10, x=0.01, ha="left"
    )
    figure.savefig(picture)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), Path(sys.argv[2]), *map(float, sys.argv[3:]))
