"""The report of sessions: who resumes one after a replica's death, how long its reader waited, and what readers saw."""

import pytest

from core.fault import Fault
from core.scenario import Scenario
from harness.analysis.fault_evidence import evidence_of
from harness.analysis.resumption import resumption_told, resumptions
from harness.analysis.standings import standings
from harness.analysis.stored_results import Result
from harness.report.page import view_of
from harness.report.sessions import session_tables
from tests.harness import made_up

SESSIONS = Scenario(
    name="tokens", topic_arrivals_hz=1.5, topic_lifetime_s=(5, 20), topic_rate_hz=(1, 2), stamp="compact", rounds=5
)
KILLED = SESSIONS.with_fields(faults=(Fault(kind="replica-kill"),))
SEEN = {
    "visits": 40.0, "moved_visits": 8.0, "complete_visits": 1.0, "first_event_p50_ms": 400.0, "first_event_p99_ms": 900.0,
    "gap_sent_p50_ms": 0.1, "gap_sent_p99_ms": 150.0, "gap_seen_p50_ms": 0.1, "gap_seen_p99_ms": 153.0, "subscribes_hz": 2.0,
}  # fmt: skip


def ranked(contender, number, delivery="at-most-once", **figures):
    return made_up.run(contender, number, delivery=delivery, scenario=SESSIONS, figures=SEEN | figures)


def killed(contender, number, silence_ms, delivery="at-most-once", **fields):
    figures = {"silence_ms": silence_ms, "recovered": 1.0, "replayed": 50.0, "visits": 40.0, "complete_visits": 1.0}
    figures |= fields.pop("figures", {})
    return made_up.run(contender, number, delivery=delivery, scenario=KILLED, figures=figures, **fields)


@pytest.fixture
def comparison():
    stored, plain = "valkey-streams", "valkey"
    runs = [ranked(stored, n, "at-least-once") for n in range(1, 6)]
    runs += [ranked(plain, n, complete_visits=0.975) for n in range(1, 6)]
    runs += [killed(stored, n, 2800 + 100 * n, "at-least-once") for n in range(6, 11)]
    runs += [killed(plain, n, 2500, figures={"complete_visits": 0.6}, lost={"broker": 30}) for n in range(6, 11)]
    return made_up.comparison(runs, name="tokens", scenario=SESSIONS)


def test_those_who_resume_are_named_with_the_longest_wait(comparison):
    first, second = resumption_told(comparison)
    assert first.startswith("After a replica's death valkey-streams resumes every session without losing")
    assert first.endswith("waited longest waited 3.6 s (3.4 to 3.78) with valkey-streams.")
    assert (
        second
        == "Not whole after a replica's death: valkey (80 of 200 visits, 150 of "
        + f"{sum(r.expected for r in comparison.runs if r.contender == 'valkey' and r.scenario.faults):,} deliveries lost)."
    )


def test_these_runs_are_not_ranked(comparison):
    assert {standing.contender: len(standing.runs) for standing in standings(comparison)} == {
        "valkey": 5, "valkey-streams": 5,
    }  # fmt: skip


def test_the_tables_and_the_verdict_are_in_the_report(comparison):
    view = view_of(comparison, draw=False)
    assert set(resumption_told(comparison)) <= set(view.verdict)
    dies, seen = session_tables(comparison)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in dies.rows}
    assert rows["valkey-streams"][0] == "yes"
    assert rows["valkey"][0] == "no"
    assert rows["valkey"][2:4] == ["120 of 200", "150"]
    assert [row[0].kind for row in dies.rows] == ["", ""]
    assert {row[1].kind for row in dies.rows} == {"good", "warn"}
    cells = dict(zip(seen.headings, next(row for row in seen.rows if row[0].text == "valkey"), strict=True))
    assert cells["complete visits"].text == "195 of 200"
    assert cells["as seen, ms"].text == "153"
    assert cells["KB per ended topic"].text == "–"


def test_a_contender_whose_runs_were_refused_is_named(comparison):
    runs = [run for run in comparison.runs if not (run.contender == "valkey" and run.scenario.faults)]
    runs += [killed("valkey", 6, 100, problems=("the machine was busy",))]
    refused = made_up.comparison(runs, name="tokens", scenario=SESSIONS)
    assert "The runs of valkey in which a replica died were refused; the report gives the reasons." in resumption_told(
        refused
    )
    assert session_tables(refused)[0].rows[-1][1].text == "refused"


def test_a_visit_with_a_duplicate_is_not_complete():
    runs = [
        killed("valkey-streams", n, 3000, "at-least-once", duplicated=2, figures={"complete_visits": 0.95})
        for n in (1, 2)
    ]
    (one,) = resumptions(made_up.comparison(runs, scenario=SESSIONS))
    assert not one.resumes
    assert (one.complete, one.visits) == (76, 80)


def test_other_scenarios_have_no_such_tables():
    runs = [made_up.run(), made_up.fault_run("valkey", "replica-kill")]
    other = made_up.comparison(runs)
    assert session_tables(other) == []
    assert resumption_told(other) == []


def test_the_chart_has_the_wait_of_every_run(comparison):
    charts = {chart.name: chart for chart in view_of(comparison).charts}
    assert "valkey (not whole)" in charts["resumption"].svg


def test_a_contender_with_fewer_valid_rounds_than_were_tried_says_so():
    runs = [killed("valkey-streams", n, 3000, problems=("busy",) if n != 7 else ()) for n in range(6, 11)]
    runs.append(killed("valkey-streams", 8, 3000))  # repeated
    found = made_up.comparison(runs, scenario=SESSIONS)
    assert resumption_told(found)[1] == (
        "Valid rounds in which a replica died: 2 of 5 with valkey-streams; the others were refused."
    )
    assert session_tables(found)[0].rows[0][1].small == "2 of 5 rounds, the others refused"


@pytest.mark.parametrize("figures", [{"visits": 0.0}, {"silence_ms": 900.0}], ids=["no visit", "no such column"])
def test_without_readers_nobody_is_said_to_resume(figures):
    run = made_up.run("valkey-streams", 6, scenario=KILLED, figures=figures)
    (one,) = resumptions(made_up.comparison([run], scenario=SESSIONS))
    assert not one.resumes
    assert "no contender here resumes every session" in resumption_told(made_up.comparison([run], scenario=SESSIONS))[0]


def test_a_replicas_death_is_not_all_faults(comparison):
    view = view_of(comparison, evidence=evidence_of([Result("tokens", comparison, search=False)]), draw=False)
    assert any("run `fanbench faults valkey valkey-streams`" in step for step in view.next_steps), view.next_steps
