"""Five people's needs, answered from the reference: every number is in the data, and the CLI accepts the next command."""

from __future__ import annotations

import csv
import functools
import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import typer

from brokers.contenders import find_contender
from core.fault import KINDS
from harness.analysis.slo import Slo
from harness.analysis.stored_results import Result, load_all
from harness.choose.choose import Answer, choose
from harness.choose.needs import Needs, parse_needs
from harness.choose.wording import in_words
from harness.commands.cli import app
from harness.commands.options import scenario_from

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "results" / "reference"
FIVE = sorted((ROOT / "examples" / "needs").glob("*.toml"))
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")

pytestmark = pytest.mark.slow  # reads the reference results

Told = tuple[Needs, Answer, str]


@functools.cache
def reference() -> Sequence[Result]:
    """The reference results, read once: a second of CPU."""
    return load_all([REFERENCE])


@functools.cache
def told_of(path: Path) -> Told:
    needs = parse_needs(path, {})
    answer = choose(needs, reference())
    return needs, answer, in_words(answer, needs)


@pytest.fixture(params=FIVE, ids=lambda path: path.stem)
def told(request: pytest.FixtureRequest) -> Told:
    return told_of(request.param)


@functools.cache
def tables() -> dict[str, list[dict[str, str]]]:
    found = {}
    for file in REFERENCE.glob("*/summary.csv"):
        with file.open(newline="") as lines:
            found[file.parent.name] = list(csv.DictReader(lines))
    return found


def numbers_of_the_data() -> set[str]:
    """Every cell of every summary.csv, and the counts in them: a contender's rounds, the kinds of faults."""
    found: set[str] = set()
    for name, rows in tables().items():
        found |= {f"{float(cell):g}" for row in rows for cell in row.values() if re.fullmatch(r"[\d.]+", cell)}
        found |= {str(count) for count in range(1, len(KINDS) + 1)} if name == "faults" else set()
        valid = [row["contender"] for row in rows if row["valid"] == "true"]
        found |= {str(valid.count(contender)) for contender in valid}
    return found


def numbers_of_the_needs(needs: Needs) -> set[str]:
    return set(NUMBER.findall(json.dumps(needs.model_dump()))) | {
        f"{value:g}" for value in needs.model_dump().values() if isinstance(value, int | float)
    }


def test_the_five_are_there() -> None:
    assert [path.stem for path in FIVE] == ["bank", "iot", "redis-shop", "start-up", "ten-thousand"]
    for path in FIVE:
        tomllib.loads(path.read_text())


def test_every_number_of_the_answer_is_in_the_data_or_in_the_needs(told: Told) -> None:
    needs, answer, said = told
    known = numbers_of_the_data() | {number.lstrip("0") or "0" for number in numbers_of_the_needs(needs)}
    known |= {"98"}  # the level of certainty
    known |= {
        f"{int(row['clients']) and (needs.clients or 0) / int(row['clients']):.3g}"
        for rows in tables().values()
        for row in rows
    }
    text = re.sub(r"`[^`]+` \(about \d+ min\)", "", said)  # a command and its minutes are not measured
    text = "\n".join(line for line in text.splitlines() if not line.startswith("Measured on "))
    text = re.sub(r"98\s?%", "", text)
    text = re.sub(r"p\d+(?:\.\d+)?(?=[<>]|_ms)", "", text)
    text = re.sub(r"silent for [\d.]+ s in ", "silent in ", text)  # tested below
    ratios = re.findall(r"though (\S+) is ([\d.]+)x faster in ([^(]+) \(", text)
    text = re.sub(r"is [\d.]+x faster in", "", text)  # tested below
    strange = [number for number in NUMBER.findall(text) if f"{float(number.replace(',', '')):g}" not in known]
    assert strange == [], said
    assert len(NUMBER.findall(text)) > 10
    for faster, ratio, words in ratios:
        assert_ratio(answer, said, faster, float(ratio), words)


def assert_ratio(answer: Answer, said: str, faster: str, ratio: float, words: str) -> None:
    """The ratio is the geometric mean over the common rounds, from the column of summary.csv."""
    column = {"the broker hop": "broker_p50_ms"}.get(words, f"{words}_ms")
    match = re.search(r"Take (\S+)", said)
    assert match
    rows = [row for row in tables()[answer.base.name] if row["valid"] == "true"]
    by_round = {
        name: {r["round"]: float(r[column]) for r in rows if r["contender"] == name} for name in (faster, match[1])
    }
    common = by_round[faster].keys() & by_round[match[1]].keys()
    product = 1.0
    for number in common:
        product *= by_round[match[1]][number] / by_round[faster][number]
    assert product ** (1 / len(common)) == pytest.approx(ratio, abs=0.011)


def test_cited_figures_are_in_their_run_and_column(told: Told) -> None:
    _, _, said = told
    found = tables()
    cited = re.findall(r"([a-z0-9_]+_(?:ms|mb)) ([\d.]+)(?: in \S+)? \(run (\d+) of ([^\s)]+)\)", said)
    for column, figure, run, folder in cited:
        row = next(row for row in found[folder] if row["run"] == run)
        assert float(row[column]) == pytest.approx(float(figure), rel=1e-4), (column, run, folder)
    losses = re.findall(r"lost (\d+) of (\d+) in (\S+) \(run (\d+) of ([^\s)]+)\)", said)
    for lost, expected, _, run, folder in losses:
        row = next(row for row in found[folder] if row["run"] == run)
        assert (row["lost"], row["expected"]) == (lost, expected)
    assert len(cited) >= 3


def test_silences_are_the_means_of_the_runs_that_are_named(told: Told) -> None:
    needs, _, said = told
    pattern = r"as ([\w-]+):? (?:it is )?silent for ([\d.]+) s in (\S+), its (?:only|worst of \d) measured faults? of nodes \((?:mean of (\d+) runs|one run), (\S+)\)"
    found = re.findall(pattern, said)
    assert bool(found) is (needs.nodes > 1)
    for form, seconds, fault, runs, folder in found:
        rows = [row for row in tables()[folder] if row["contender"] == form and row["valid"] == "true"]
        silences = [float(row["silence_ms"]) / 1000 for row in rows if row["fault"] == fault]
        assert len(silences) == int(runs or 1)
        assert sum(silences) / len(silences) == pytest.approx(float(seconds), rel=0.006)
        assert max(float(row["silence_ms"]) for row in rows) >= max(silences) * 1000


def commands_in(said: str) -> Iterator[list[str]]:
    for command in re.findall(r"`(fanbench [^`]+)`", said):
        yield shlex.split(command)[1:]


def test_every_command_is_one_that_the_command_line_takes(told: Told) -> None:
    _, answer, said = told
    group = typer.main.get_command(app)
    found = list(commands_in(said))
    assert bool(found) is bool(answer.not_measured)
    for name, *words in found:
        command = group.commands[name]  # type: ignore[attr-defined]
        context = command.make_context(name, words)  # raises for an unknown option or an invalid value
        contenders = context.params.get("contenders") or [context.params.get("contender")]
        for contender in filter(None, contenders):
            assert find_contender(contender).name == contender
        for fault in context.params.get("fault") or []:
            assert fault in KINDS
        if name == "capacity":
            Slo.parse(context.params["slo"])
        if name in ("compare", "capacity"):
            fields = {key: context.params[key] for key in ("clients", "replicas", "payload_bytes")}
            scenario = scenario_from(
                context.params["scenario"], context.params["topics"], rate_hz=context.params["rate"], **fields
            )
            assert scenario.replicas >= 1


def test_it_ends_with_what_to_take_why_and_what_else(told: Told) -> None:
    needs, answer, said = told
    last = said.splitlines()[-1]
    match = re.match(
        r"Take (\S+)(?:, run as \S+,)? because (.+?)\. .*If .+?(, take |, look at | no other contender ).+", last
    )
    assert match, last
    left = {judged.contender for groups in answer.left.values() for group in groups for judged in group}
    assert match[1] in left
    for program in needs.have:
        if any(name.startswith(program) for name in left):
            assert f"you already run {program}" in last
        else:
            assert re.search(rf"But first measure {program}\b.*Next, .*`fanbench compare [^`]*\b{program}\b", last)


def test_each_gets_the_answer_that_the_data_gives() -> None:
    """What decides for each: the broker that already runs, a load that was not reached, the promise, the nodes."""
    said = {path.stem: told_of(path)[2] for path in FIVE}
    assert "Take redis because you already run redis" in said["redis-shop"]
    assert ", take redis-streams" in said["redis-shop"]
    assert "deploy a day: lost" in said["redis-shop"]
    assert re.search(r"Careful: \d+ measured clients stand for 10,000,", said["ten-thousand"])
    assert "Next, because it was not measured: `fanbench capacity " in said["ten-thousand"]
    assert "Take mosquitto because you already run mosquitto" in said["iot"]
    assert re.search(r"Take (nats-jetstream|valkey-streams|rabbitmq-stream)\b", said["bank"])
    assert "fanbench knows no cluster of it" in said["bank"]
    assert re.search(
        r"(Take|Next, because it was not measured: `fanbench compare .*)\bpostgres\b", said["start-up"].splitlines()[-1]
    )
