"""Part (c): the cost of each adapter over its bare client library: CPU per message of a process with both ends."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.machine import Cores, on_core
from brokers.contender import Contender
from brokers.contenders import all_contenders
from brokers.programs.catalogue import PROGRAMS
from core.contracts.codec import decode, encode
from core.contracts.hop import LoopFigures, LoopPlan
from core.errors import FanbenchError
from core.process import OWN_PYTHON

LIMIT = 1.15
_TIMEOUT_S = 150.0
Side = Literal["adapter", "bare"]
SIDES: tuple[Side, ...] = ("adapter", "bare")
Found = dict[tuple[str, str, str], list[float]]
"""The cost in each round, by contender, shape and side."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How messages are published: by this many waiting publishers, or at a fixed rate if there are none.

    The minimum duration of a measurement.
    """

    name: str
    in_flight: int
    rate_hz: float
    seconds: float


BURST = Shape(
    "burst", 64, 0.0, 1.0
)  # without this second, a test with messages of 12 us ends before the machine is steady
PACED = Shape("paced", 0, 2_000.0, 0.0)


@dataclass(frozen=True, slots=True)
class AdapterSize:
    """The messages per round, and from `rounds` to `most` rounds, for the programs that are wheels or for all."""

    messages: int
    rounds: int
    most: int
    programs: tuple[str, ...] = tuple(PROGRAMS)


FULL = AdapterSize(3_000, 3, 7)
QUICK = AdapterSize(200, 1, 1, ("valkey",))
_STEADY = 0.15
"""If the ratios of the rounds are within this distance of their median, no more rounds are needed."""


def adapters(size: AdapterSize, folder: Path, cores: Cores, say: Callable[[str], None]) -> list[FigureTable]:
    """One table for each shape."""
    here, missing = _one_of_each(size.programs)
    found: Found = {}
    failed: dict[tuple[str, str], str] = {}
    for contender in here:
        with contender.launched(folder / f"adapters-{contender.file_name}") as broker:
            for shape in (BURST, PACED):
                try:
                    _compare(contender, broker.url, shape, size, cores, found, say)
                except FanbenchError as error:  # the others keep their figures
                    say(str(error))
                    failed[contender.name, shape.name] = str(error)
    return [_table(shape, here, found, failed, size, missing) for shape in (BURST, PACED)]


def _compare(
    contender: Contender,
    url: str,
    shape: Shape,
    size: AdapterSize,
    cores: Cores,
    found: Found,
    say: Callable[[str], None],
) -> None:
    """Run both in each round, in changing order; a ratio compares the two in one round, which have the same noise.

    Raises:
        FanbenchError: a side could not be measured.
    """
    costs: dict[str, list[float]] = {by: [] for by in SIDES}
    for number in range(size.most):
        if number >= size.rounds and _steady(costs):
            break
        say(f"{contender.name} against its bare library, {shape.name}, round {number + 1}")
        for by in random.Random(number).sample(SIDES, 2):
            costs[by].append(_measure(contender, url, by, shape, size.messages, cores))
    found |= {(contender.name, shape.name, by): costs[by] for by in SIDES}


def _steady(costs: Mapping[str, Sequence[float]]) -> bool:
    ratio = Figure.of(costs["adapter"]).over(Figure.of(costs["bare"]))
    return max(ratio.rounds) - min(ratio.rounds) <= _STEADY * ratio.median


def _one_of_each(programs: Sequence[str]) -> tuple[list[Contender], list[Contender]]:
    """The first available contender of each adapter and delivery, and the first of each that has none available."""
    chosen: dict[tuple[str, str], Contender] = {}
    for one in sorted(all_contenders(), key=lambda one: not one.runnable):
        if one.program in programs:
            chosen.setdefault((one.url.partition(":")[0], one.delivery), one)
    return [one for one in chosen.values() if one.runnable], [one for one in chosen.values() if not one.runnable]


def _measure(contender: Contender, url: str, by: Side, shape: Shape, messages: int, cores: Cores) -> float:
    plan = LoopPlan(
        url=url,
        delivery=contender.delivery,
        by=by,
        messages=messages,
        in_flight=shape.in_flight,
        rate_hz=shape.rate_hz,
        seconds=shape.seconds,
    )
    command = [*OWN_PYTHON, "-m", "harness.hop.loop_worker"]
    try:
        with on_core(cores.measured):
            done = subprocess.run(
                command,
                input=encode(plan),
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise FanbenchError(
            f"{contender.name}, {by}: {messages} messages did not all arrive within {_TIMEOUT_S:g} s; free the machine, and repeat"
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise FanbenchError(f"{contender.name}, {by}: {last}")
    return decode(LoopFigures, done.stdout, f"{contender.name}, {by}").client_us


def _table(
    shape: Shape,
    here: list[Contender],
    found: Found,
    failed: Mapping[tuple[str, str], str],
    size: AdapterSize,
    missing: list[Contender],
) -> FigureTable:
    rows, bars = [], []
    for contender in here:
        title = f"{contender.name} over its bare library, {shape.name}"
        if (why := failed.get((contender.name, shape.name))) is not None:
            bars.append(Bar(title, None, LIMIT, obstacle=why))
            continue
        ours = Figure.of(found[contender.name, shape.name, "adapter"])
        bare = Figure.of(found[contender.name, shape.name, "bare"])
        rows.append(FigureRow(contender.name, {"adapter us": ours, "bare us": bare, "ratio": ours.over(bare)}))
        bars.append(Bar(title, ours.over(bare), LIMIT))
    bars += [
        Bar(f"{one.name} over its bare library, {shape.name}", None, LIMIT, obstacle=one.install_hint)
        for one in missing
    ]
    how = f"{shape.in_flight} publishers" if shape.in_flight else f"{shape.rate_hz:g}/s"
    title = (
        f"(c) adapter against bare library, {how}: client CPU per message, at least {size.messages:,} messages a round"
    )
    return FigureTable(f"adapters-{shape.name}", title, rows, bars)
