"""A run at an endpoint: what is known, and what is absent because only replicas report it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from brokers.contender import Broker
from brokers.endpoint_contenders import endpoint_contender
from core.contracts.load_result import Cause, EncodedHistograms
from core.contracts.manifest import ManifestRun
from core.endpoint.compared import Service
from core.errors import TransientError, UsageError
from core.fault import Fault
from core.scenario import Scenario
from core.topics import expand_topics
from harness.results.run_files import as_stored, record_of, run_of
from harness.results.run_record import Usage
from harness.runner import testbed
from harness.runner.assemble_run import Findings, assemble_run
from harness.runner.loss_causes import Evidence, expected_deliveries, split_by_cause
from harness.runner.processes import Children
from harness.runner.resources import Sampler, Window
from harness.runner.run import failed_run
from harness.runner.set_up_endpoint import hint_of_endpoint, prepare_topics, set_up_endpoint
from load.plan import Seating
from tests.core.contracts.made_up import encoded, generator_report, load_result

SCENARIO = Scenario(clients=10, replicas=2, rate_hz=10, duration_s=2)
WATCHED = ("server", "generator", "load")


def run_at_endpoint(parts=WATCHED, *, others_cores=0.01, delivered=200, causes=None):
    histogram = encoded(delivered)
    load = load_result(
        delivered,
        histograms=EncodedHistograms(latency=histogram, schedule=histogram),
        causes=causes or {},
        replayed=None,
    )
    evidence = Evidence([generator_report()], [], [{"events": 10}], load.causes, endpoint=True)
    usage = {part: Usage(0.5, 50.0, 0.25) for part in parts}
    window = Window(2.0, usage, {}, others_cores)
    return assemble_run(endpoint_contender("nchan"), SCENARIO, 1, Findings(evidence, load, window, 10, True, None, 0))


def test_figures_that_an_endpoint_does_not_report_are_absent_when_read_back():
    run = as_stored(run_at_endpoint())
    assert run.problems == ()
    assert (run.published, run.expected, run.delivered, run.lost) == (20, 200, 200, 0)
    record = record_of(run, 1)
    cells = record.row.cells()
    absent = ("replicas", "gaps", "broker_p50_ms", "broker_p99_ms", "fanout_p50_ms", "fanout_p99_ms", "broker_cpu_s")
    absent += ("broker_rss_mb", "broker_core", "lost_gap", "lost_slow_client")
    assert [name for name in absent if cells[name] is not None] == []
    known = ("p50_ms", "p90_ms", "p99_ms", "schedule_p99_ms", "server_cpu_s", "server_rss_mb")
    assert [name for name in known if cells[name] is None] == []
    assert run.not_watched == ()
    entry = ManifestRun(run=1, contender="nchan", round=1, scenario={}, problems=(), notes=(), negative={})
    back = run_of(record, entry, SCENARIO, "manifest.json")
    assert back.endpoint
    assert record_of(back, 1) == record


def test_a_service_that_somebody_else_runs_is_not_watched():
    run = run_at_endpoint(("generator", "load"), others_cores=None)
    assert run.not_watched == ("server", "others")
    assert record_of(as_stored(run), 1).row.main.server_cpu_s is None


def test_undelivered_events_are_charged_to_the_service_and_unknown_causes_are_absent():
    causes = {Cause.CONNECTION: 3, Cause.UNEXPLAINED: 2, Cause.TAIL: 1}
    evidence = Evidence([generator_report()], [], [{"events": 10}], causes, endpoint=True)
    assert expected_deliveries(evidence) == 200
    assert split_by_cause(10, evidence) == {"connection_down": 3, "unexplained": 2, "under_way": 1, "broker": 4}
    assert split_by_cause(4, evidence) == {"connection_down": 3, "unexplained": 1, "under_way": 0, "broker": 0}


def test_a_run_that_failed_has_no_replicas_either():
    contender = endpoint_contender("nchan")
    run = failed_run(contender, SCENARIO, 1, TransientError("clients connected: 0 of 10"))
    assert record_of(run, 1).row.main.replicas is None


def test_a_server_at_its_limit_is_the_service():
    run = run_at_endpoint()
    busy = {part: Usage(1.9, 50.0, 0.97 if part == "server" else 0.2) for part in WATCHED}
    assert run.problems == ()
    load = load_result(histograms=EncodedHistograms(latency=encoded(200), schedule=encoded(200)))
    evidence = Evidence([generator_report()], [], [{"events": 10}], {}, endpoint=True)
    found = Findings(evidence, load, Window(2.0, busy, {}, 0.01), 9, True, None, 0)
    first, second = assemble_run(endpoint_contender("nchan"), SCENARIO, 1, found).problems
    assert first == "server at 97% of a core (limit 90%): the service is the bottleneck; lower --clients or --rate"
    assert second.endswith("see the service's log")


def bed(scenario, *, pids=()):
    service = Broker("http://127.0.0.1:1", SimpleNamespace(pids=list(pids)) if pids else None)
    child = SimpleNamespace(pid=1)
    load = SimpleNamespace(child=child, status=lambda: SimpleNamespace(clients=7))
    return testbed.Testbed(endpoint_contender("nchan"), scenario, service, [], load, [child], [], None, server_mb=None)


@pytest.mark.parametrize(("topics", "skew"), [("events", 0.0), ("a,b,c", 0.0), ("room-{0..6}", 1.2)])
def test_the_clients_of_each_topic_are_those_that_the_load_seats(topics, skew):
    scenario = Scenario(clients=53, topics=topics, topic_skew=skew)
    seating = Seating(expand_topics(topics), skew, 1)
    seated = {}
    for number in range(53):
        topic = seating.seat(number).topic
        seated[topic] = seated.get(topic, 0) + 1
    assert bed(scenario).clients_of_topics() == [seated]


def test_the_processes_of_the_service_count_as_server():
    assert bed(SCENARIO, pids=[2, 3]).roots() == {"server": [2, 3], "load": [1], "generator": [1]}
    elsewhere = bed(SCENARIO)
    assert elsewhere.roots() == {"load": [1], "generator": [1]}
    assert (elsewhere.connected(), elsewhere.grown_mb(), elsewhere.stats()) == (7, None, [])


def test_others_are_unknown_if_they_include_a_part_of_the_run():
    sampler = Sampler(dict, others=False)
    sampler.start()
    assert sampler.stop().others_cores is None


def test_an_error_about_silent_clients_says_where_to_look(tmp_path):
    at = bed(SCENARIO)
    at.load.out = tmp_path / "load.json"
    at.load.finish = lambda: result
    usual = r"do path, publish and stamp in .*nchan\.toml fit"
    for fields, says in (
        ({}, ""),
        (
            {"foreign_kinds": {"data.m is missing": 7}},
            r"events came in which fanbench's stamp is not .* \(7 x data.m is missing\); ",
        ),
        ({"refused": {"status 401 Unauthorized": 3}}, "attempts that got no stream: 3 x status 401 Unauthorized; "),
    ):
        result = load_result(**fields)
        with pytest.raises(TransientError, match=f"first event: not within 15 s; {says}{usual}"), hint_of_endpoint(at):
            raise TransientError("first event: not within 15 s")


class Topics(BaseHTTPRequestHandler):
    """Creates everything that it is asked to, except one."""

    def do_PUT(self):
        self.server.asked.append((self.path, self.headers["X-Key"]))
        self.send_response(409 if self.path.endswith("bad") else 201)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def test_each_topic_is_prepared_before_clients_come(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Topics)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    file = tmp_path / "own.toml"
    text = f'[endpoint]\nurl = "{url}"\npath = "/{{topic}}"\npublish = "POST /{{topic}}"\npublish_headers = ["X-Key: of {{topic}}"]\n'
    file.write_text(text + 'prepare = "PUT /made/{topic}"\n')
    try:
        own = endpoint_contender(str(file)).endpoint
        prepare_topics(own, ["a", "b/c"], Service(url))
        assert server.asked == [("/made/a", "of a"), ("/made/b%2Fc", "of b/c")]
        with pytest.raises(
            TransientError,
            match=r"prepare = 'PUT /made/\{topic\}' for topic 'bad': status 409 Conflict; correct prepare",
        ):
            prepare_topics(own, ["bad"], Service(url))
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(TransientError, match="for topic 'a': Connection refused"):
        prepare_topics(own, ["a"], Service(url))
    file.write_text(text)
    prepare_topics(endpoint_contender(str(file)).endpoint, ["a"], Service(url))  # nothing to send


def test_faults_are_not_for_endpoints(tmp_path):
    contender = endpoint_contender("nchan")
    broken = SCENARIO.with_fields(faults=[Fault(kind="clients-cut", at_s=1.0).model_dump()])
    for scenario, transport, says in (
        (broken, "sse", "breaks only its own replicas"),
        (SCENARIO, "ws", "leave out --transport"),
    ):
        with Children() as children, pytest.raises(UsageError, match=says):
            set_up_endpoint(
                contender, contender.endpoint, scenario, Broker("http://127.0.0.1:1"), tmp_path, children, transport
            )
