"""The report of a comparison with an endpoint has its figures next to the others, and none that it does not report."""

from dataclasses import replace

import pytest

from harness.analysis.standings import families, standings
from harness.analysis.verdict import verdict
from harness.report.bar_charts import hops
from harness.report.comparison import comparison_view, table_rows
from harness.report.lines import line_styles
from tests.harness import made_up

FIVE = range(1, 6)


def at_endpoint(round):
    run = made_up.run("nchan", round, fanout_ms=9.0)
    usage = {part: used for part, used in run.usage.items() if part != "broker"}
    known = {span: one for span, one in run.histograms.items() if span in ("latency", "schedule")}
    causes = {cause: count for cause, count in run.lost_by_cause.items() if cause not in ("gap", "slow_client")}
    return replace(run, endpoint=True, usage=usage, histograms=known, lost_by_cause=causes)


@pytest.fixture
def compared():
    runs = [
        one for r in FIVE for one in (made_up.run("valkey", r), made_up.run("nats", r, broker_ms=3.0), at_endpoint(r))
    ]
    return made_up.comparison(runs)


def test_an_endpoint_is_judged_by_its_latency_among_the_others(compared):
    (family,) = families(compared)
    assert set(family.judgement.contenders) == {"valkey", "nats", "nchan"}
    judged = {
        name: {x for one in pairs for x in (one.faster, one.slower)}
        for name, pairs in family.judgement.by_figure.items()
    }
    everyone = {"valkey", "nats", "nchan"}
    assert judged == {"p50": everyone, "p90": everyone, "p99": everyone, "broker": {"valkey", "nats"}, "cpu": everyone}


def test_a_hop_that_nobody_reported_has_no_share(compared):
    nchan = next(standing for standing in standings(compared) if standing.contender == "nchan")
    assert nchan.share("broker") is None
    assert nchan.main_hop() is None
    said = next(line for line in verdict(compared) if line.startswith("The broker hop of valkey and nats is"))
    assert "nchan" not in said
    row = next(row for row in table_rows(compared) if row.contender == "nchan")
    assert (row.broker_p99, row.fanout_p99, row.share, row.broker_cpu, row.broker_mb) == ("–",) * 5
    assert "–" not in (row.p50, row.p99, row.server_cpu, row.server_mb)


def test_services_have_colours_that_no_other_line_has():
    styles = line_styles(
        ["memory", "valkey", "valkey-streams", "nchan", "sse-starlette-hub", "mine", "yours", "theirs"]
    )
    colours = {name: colour for name, (colour, _) in styles.items() if name != "valkey-streams"}
    assert len(set(colours.values())) == len(colours)


def test_the_report_says_what_is_unknown_about_it(compared):
    view = comparison_view(compared, draw=False)
    (said,) = [line for line in view.method if line.startswith("nchan is a service that streams the events itself")]
    assert "Not measured: its broker hop, its fan-out hop, its gaps" in said


def test_a_cause_that_cannot_be_known_is_not_0():
    lossy = [
        replace(at_endpoint(r), expected=5_003, lost=3, lost_by_cause={"connection_down": 1, "broker": 2}) for r in FIVE
    ]
    (table,) = [one for one in comparison_view(made_up.comparison(lossy), draw=False).tables if "lost" in one.title]
    assert [[cell.text for cell in row] for row in table.rows] == [["nchan", "15", "10", "–", "–", "5", "–", "–"]]


@pytest.mark.slow
def test_the_bar_of_its_latency_is_not_split(compared):
    found = [standing for standing in standings(compared) if standing.contender == "nchan"]
    figure = hops(found)
    drawn = sum(bar.get_width() for bar in figure.axes[0].patches)
    assert drawn == pytest.approx(found[0].pooled().mean_ms(), rel=2e-3)
