"""The suite's results on Locust's web page: a tab, a download for each test, and why a test does not start.

It uses Locust's own extension points: `template_args`, `extended_stats` and Flask's routes; its web UI is passed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import request

from core.contracts.codec import encode
from core.contracts.load_result import LoadResult, StreamFigures
from core.contracts.measures import Percentiles
from core.errors import FanbenchError

_KEY = "fanbench"
_COLUMNS = {
    "test": "Test began",
    "figure": "Figure",
    "count": "Count",
    "p50": "p50 (ms)",
    "p90": "p90 (ms)",
    "p99": "p99 (ms)",
    "p999": "p99.9 (ms)",
    "max": "Max (ms)",
}
_EDITS = ".MuiModal-root form .MuiBox-root:not(:has(.MuiAccordion-root ~ .MuiAccordion-root)) > .MuiAccordion-root"
_STYLE = f"<style>{_EDITS} {{ display: none }}</style></head>".encode()
"""In the dialog that edits a running test, the only section to expand has our options, which cannot change at that time."""
_OWN_FIELDS = {"user_count", "spawn_rate", "host", "run_time", "profile", "user_classes", "shape_class"}
"""The fields of Locust's own form."""
_FIXED_WHILE_RUNNING = "cannot change while a test runs; stop it first"


def test_name(began_ns: int) -> str:
    """A test, named by the instant of its start, as in the names of its files."""
    return datetime.fromtimestamp(began_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")


class ResultPage:
    """What the page shows about the tests of this process, the newest first."""

    def __init__(
        self,
        web_ui: Any,
        may_start: Callable[[Mapping[str, str]], None],
        running: Callable[[], bool],
        fixed: Sequence[str],
        offered: Callable[[], Mapping[str, Any]],
    ) -> None:
        """`may_start` raises FanbenchError for a form that cannot start a test; `fixed` are the options that the page offers for a start.

        `offered` returns these and those of the user's own locustfile, with the initial value of each.
        """
        self._web_ui = web_ui
        self._may_start = may_start
        self._running = running
        self._fixed = fixed
        self._offered = offered
        self._results: dict[str, LoadResult] = {}
        self._downloads: list[dict[str, str]] = []
        web_ui.template_args |= {
            "extended_tabs": [{"title": "fanbench", "key": _KEY}],
            "extended_tables": [
                {"key": _KEY, "structure": [{"key": key, "title": title} for key, title in _COLUMNS.items()]}
            ],
            "extended_csv_files": self._downloads,
        }
        app = web_ui.app
        app.before_request(self._before)
        app.after_request(self._after)
        app.add_url_rule(
            f"{web_ui.environment.parsed_options.web_base_path}/fanbench/<name>.json",
            "fanbench_result",
            web_ui.auth_required_if_enabled(self._download),
        )

    def add(self, began_ns: int, result: LoadResult) -> None:
        """A test has ended."""
        name = test_name(began_ns)
        self._results[name] = result
        self._downloads.insert(0, {"title": f"fanbench: result of {name} (JSON)", "href": f"./fanbench/{name}.json"})

    def _download(self, name: str) -> Any:
        result = self._results.get(name)
        if result is None:
            return self._web_ui.app.make_response((f"no test began at {name}; see the tab fanbench", 404))
        answer = self._web_ui.app.make_response(encode(result))
        answer.headers["Content-Type"] = "application/json"
        answer.headers["Content-Disposition"] = f"attachment;filename=fanbench-{name}.json"
        return answer

    def _before(self) -> Any:
        """Show in the form why a test cannot start, before Locust starts it."""
        if request.method != "POST" or not request.path.endswith("/swarm"):
            return None
        try:
            self._require_offered(request.form)
            if self._running():
                self._require_unchanged(request.form)
            else:
                self._may_start(request.form)
        except FanbenchError as error:
            refusal = {"success": False, "message": str(error), "host": self._web_ui.environment.host}
            return self._web_ui.app.make_response((json.dumps(refusal), {"Content-Type": "application/json"}))
        return None

    def _require_offered(self, form: Mapping[str, str]) -> None:
        """Locust would accept any option, such as a file to write, or one whose content is sent to the host."""
        fields = {*_OWN_FIELDS, *self._offered()}
        for name in form.keys() & vars(self._web_ui.environment.parsed_options).keys() - fields:
            raise FanbenchError(f"the page cannot set {name}; give that option when Locust starts")

    def _require_unchanged(self, form: Mapping[str, str]) -> None:
        """The dialog that edits a running test sends all options, with their initial values."""
        options, first = self._web_ui.environment.parsed_options, self._offered()
        for name in self._fixed:
            if name in form and not (_same(form[name], getattr(options, name)) or _same(form[name], first[name])):
                raise FanbenchError(f"{name.replace('_', '-')} {_FIXED_WHILE_RUNNING}")
        if "host" in form and form["host"] != (self._web_ui.environment.host or ""):
            raise FanbenchError(f"host {_FIXED_WHILE_RUNNING}")

    def _after(self, response: Any) -> Any:
        """Add the tab's rows to the page's periodic request, and the style to the page itself."""
        if request.path.endswith("/stats/requests") and response.is_json:
            answer = response.get_json()
            answer["extended_stats"] = [{"key": _KEY, "data": self.rows()}]
            response.set_data(json.dumps(answer))
        elif response.mimetype == "text/html" and b"templateArgs" in (html := response.get_data()):
            response.set_data(html.replace(b"</head>", _STYLE, 1))
        return response

    def rows(self) -> list[dict[str, str]]:
        """The rows of the tab."""
        return [
            dict.fromkeys(_COLUMNS, "") | {"test": name} | row
            for name, result in reversed(self._results.items())
            for row in _rows_of(result)
        ]


def _same(text: str, value: object) -> bool:
    """Whether a form's text means that value: a page writes 1.0 as 1."""
    try:
        return type(value)(text) == value  # type: ignore[call-arg]
    except (TypeError, ValueError):
        return False


def _rows_of(result: LoadResult) -> list[dict[str, str]]:
    rows = [{"figure": problem} for problem in (*result.problems, *result.breaches)]
    times: dict[str, Percentiles | None] = {"latency": result.latency_ms}
    if (hops := result.hops_ms) is not None:
        times |= {"schedule hop": hops.schedule, "broker hop": hops.broker, "fan-out hop": hops.fanout}
    rows += [_times(name, result.deliveries, of) for name, of in times.items() if of is not None]
    rows += _stream_rows(result.streams) if result.streams is not None else []
    rows += [_times(f"at {name}", one.deliveries, one.latency_ms) for name, one in result.servers.items()]
    if result.connect_ms is not None:
        rows.append(_times("connect", result.clients + result.left + result.reconnects, result.connect_ms))
    counts: dict[str, int | None] = {
        "clients": result.clients,
        "clients asked for": result.asked,
        "clients that left": result.left,
        "events": result.events,
        "lost": result.lost,
        **{f"lost: {cause.value.replace('_', ' ')}": count for cause, count in (result.causes or {}).items()},
        "duplicated": result.duplicated,
        "reordered": result.reordered,
        "reconnects": result.reconnects,
        "gaps": result.gaps if result.streams is None else None,
    }
    return rows + [{"figure": name, "count": f"{count:,}"} for name, count in counts.items() if count is not None]


def _stream_rows(streams: StreamFigures) -> list[dict[str, str]]:
    times = {"first event": streams.first_event_ms, "gap between events": streams.gap_ms}
    times |= {"longest silence of a client": streams.silence_ms, "whole answer": streams.answer_ms}
    counts = {"first event": streams.opened, "whole answer": streams.whole}
    return [_times(name, counts.get(name), of) for name, of in times.items() if of is not None]


def _times(figure: str, count: int | None, of: Percentiles) -> dict[str, str]:
    shown = {"p50": of.p50, "p90": of.p90, "p99": of.p99, "p999": of.p999, "max": of.max}
    return {"figure": figure, "count": "" if count is None else f"{count:,}"} | {
        name: f"{value:,.2f}" for name, value in shown.items()
    }
