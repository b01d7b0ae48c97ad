"""Small result directories of each kind, whose figures follow from their runs; bundles of them; and forgeries."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from core.scenario import Scenario
from harness.analysis.slo import Slo
from harness.capacity.capacity_runs import judge
from harness.capacity.findings import as_found
from harness.capacity.search import SearchAnswer
from harness.publish.archive import INDEX, pack, unpack
from harness.publish.write_bundle import write_bundle
from harness.results.run_record import Run
from harness.results.store import open_results, store_capacity
from tests.harness import made_up

SMALL = Scenario(name="broadcast", clients=10, replicas=2, rate_hz=10, duration_s=4, warmup_s=1, rounds=5)
FAULTS = SMALL.with_fields(name="faults", faults=[{"kind": "replica-kill"}])
HOST = {"cpu": "2 x an example", "memory": "8 GB", "system": "Linux", "python": "3.11.7"}
FIGURES = {"connect_p50_ms": 1.25, "connect_p99_ms": 3.5, "offered_hz": 10.0, "others_cores": 0.01}
RESULTS = ("compared", "faults", "search")


def compared_runs() -> list[Run]:
    """Five rounds of two contenders and the floor; one run lost deliveries, one was refused."""
    runs = [
        made_up.run(name, number, scenario=SMALL, broker_ms=ms, figures=FIGURES)
        for number in range(1, 6)
        for name, ms in (("valkey", 0.4), ("nats", 1.5), ("memory", 0.05))
    ]
    runs[3] = made_up.run("valkey", 2, scenario=SMALL, lost={"broker": 3, "slow_client": 2}, figures=FIGURES)
    problem = "generator late: p99 of latency is 9.0 ms, and 4.0 ms but for its lateness; free the machine"
    return [*runs, made_up.run("nats", 6, scenario=SMALL, problems=(problem,), disturbed=True, figures=FIGURES)]


def fault_runs() -> list[Run]:
    """Two contenders in a fault; one of them loses deliveries."""
    return [
        made_up.fault_run("valkey", "replica-kill", scenario=FAULTS, lost={"connection_down": 40}),
        made_up.fault_run("nats", "replica-kill", scenario=FAULTS, silence_ms=450),
    ]


def store(folder: Path, runs: list[Run], *, date: str = "2026-11-25", **fields: object) -> Path:
    """A finished result directory at `folder`."""
    given: dict[str, object] = {"host": HOST, "versions": {"valkey": "9.1.0", "nats": "2.15.1"}}
    given["command"] = "fanbench compare valkey nats --rounds 5"
    given["fanbench"] = {"version": "0.2.0", "commit": "c0ffee12"}
    scenario = fields.pop("scenario", SMALL)
    opened = open_results(folder.parent, folder.name, scenario=scenario, **(given | fields))  # type: ignore[arg-type]
    for run in runs:
        opened.add_run(run)
    manifest = opened.finish(complete=True).rename(folder) / "manifest.json"
    text = json.loads(manifest.read_text()) | {"started_utc": f"{date}T10:00:00Z"}
    manifest.write_text(json.dumps(text, indent=1) + "\n")
    return folder


def store_search(folder: Path) -> Path:
    """A capacity search over four loads; the last one fails."""
    slo = Slo.parse("p99<30ms, lost=0")
    loads = (10, 20, 40, 20)
    runs = [
        made_up.run("valkey", number, scenario=SMALL.with_fields(clients=load), fanout_ms=60 if load > 20 else 3)
        for number, load in enumerate(loads, 1)
    ]
    points = [judge(run, slo, load, 2.0) for run, load in zip(runs, loads, strict=True)]
    store(folder, runs)
    store_capacity(folder, as_found("valkey", "clients", slo, SearchAnswer(20, 40, True), points, runs))
    return folder


def results(parent: Path) -> Path:
    """The directory with one result of each kind."""
    store(parent / "compared", compared_runs())
    store(parent / "faults", fault_runs(), scenario=FAULTS)
    store_search(parent / "search")
    (parent / "compared" / "logs").mkdir(exist_ok=True)
    (parent / "compared" / "logs" / "broker.log").write_text("ready\n")
    return parent


def bundle(folder: Path, out: Path) -> dict[str, bytes]:
    """The members of the bundle of a result directory."""
    return unpack(write_bundle([folder], out))


def sealed(members: dict[str, bytes]) -> dict[str, bytes]:
    """The members with a new list of hashes, as a forger would make it."""
    files = {name: sha256(data).hexdigest() for name, data in sorted(members.items()) if name != INDEX}
    return members | {INDEX: (json.dumps({"version": 1, "files": files}, indent=1) + "\n").encode()}


def packed(members: dict[str, bytes], path: Path) -> Path:
    path.write_bytes(pack(members))
    return path


@dataclass(frozen=True, slots=True)
class Place:
    """One value in a file of a bundle."""

    member: str
    keys: tuple[str | int, ...]
    """The keys down to a leaf of a JSON document, or the row and the column of a table."""

    @property
    def field(self) -> str:
        """Its name without list indexes: values with the same name are of one kind."""
        return ".".join(key for key in self.keys if isinstance(key, str))


def places(members: dict[str, bytes]) -> Iterator[Place]:
    """Every value of the bundle."""
    for name, data in sorted(members.items()):
        if name.endswith(".csv"):
            rows = list(csv.DictReader(io.StringIO(data.decode())))
            yield from (Place(name, (number, column)) for number, row in enumerate(rows) for column in row)
        else:
            yield from (Place(name, keys) for keys in _leaves(json.loads(data)))


def _leaves(value: object) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        yield from ((key, *rest) for key, inner in items for rest in _leaves(inner))
    else:
        yield ()


def forged(members: dict[str, bytes], place: Place) -> dict[str, bytes]:
    """The members with one changed value: by a single digit if it has digits."""
    data = members[place.member].decode()
    if place.member.endswith(".csv"):
        row, column = place.keys
        rows = list(csv.DictReader(io.StringIO(data)))
        rows[row][column] = _changed_text(rows[row][column])  # type: ignore[call-overload, index]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return members | {place.member: text.getvalue().encode()}
    document = json.loads(data)
    holder = document
    for key in place.keys[:-1]:
        holder = holder[key]
    holder[place.keys[-1]] = _changed(holder[place.keys[-1]])
    return members | {place.member: (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()}


def _changed(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 1.001 or 1.0
        case None:
            return 1
        case _:
            return _changed_text(str(value))


def _changed_text(text: str) -> str:
    """Change its last digit; without digits, add a word; if empty, add a figure."""
    if text in ("true", "false"):
        return "false" if text == "true" else "true"
    for place in reversed(range(len(text))):
        if text[place] in "0123456789":
            return f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}"
    return f"{text} forged" if text else "1"
