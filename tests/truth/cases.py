"""The lies told to the load, and what it must find: the table of the truth tests and mutations."""

from __future__ import annotations

from typing import Any, NamedTuple

QUICK = {"measure": 60, "rate_hz": 200.0}
FOUR = {"clients": 4, "every": 2} | QUICK  # two of four clients receive lies
FRAMINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "every-byte": {"split_bytes": 1},
    "every-byte-unchunked": {"split_bytes": 1, "chunked": False},
    "many": {"batch": 7},
    "many-cut": {"batch": 7, "split_bytes": 11},
    "many-unchunked": {"batch": 9, "chunked": False},
}
KINDS = ("lost", "duplicated", "reordered", "reconnects", "gaps", "foreign", "negative", "unreached")


class Case(NamedTuple):
    """The servers' scripts, the expected findings by kind (otherwise none), and the causes of the losses.

    `away` clients are not connected at the end, which is a separate problem.
    """

    scripts: list[dict[str, Any]]
    found: dict[str, int]
    causes: dict[str, int]
    away: int = 0


def lie(found: dict[str, int], causes: dict[str, int] | None = None, **script: Any) -> Case:
    """A case of one server and four clients."""
    return Case([FOUR | script], found, causes or {})


CASES = {
    "nothing": lie({}),
    "left out": lie({"lost": 10}, {"unexplained": 10}, omit=[7, 20, 21, 22, 40]),
    "doubled": lie({"duplicated": 6}, double=[9, 30, 50]),
    "swapped": lie({"reordered": 8}, swap=[5, 15, 25, 35]),
    "cut at the tail": lie({"lost": 12}, {"under_way": 12}, tail=6),
    "left out of the warm-up": lie({}, omit=[1, 2]),
    "doubled and swapped in the warm-up": lie({}, double=[1, 2], swap=[0]),
    "left out with a gap": lie(
        {"gaps": 4, "lost": 6}, {"gap_reported": 4, "unexplained": 2}, gap_at=[12, 30], omit=[12, 13, 20]
    ),
    "not ours": lie({"foreign": 6}, foreign_at=[3, 4, 5]),
    "several at once": lie(
        {"lost": 14, "duplicated": 6, "reordered": 2},
        {"unexplained": 4, "under_way": 10},
        omit=[10, 11],
        double=[20, 22, 24],
        swap=[30],
        tail=5,
        batch=3,
    ),
    "late warm-up": lie({}, warmup=40, warmup_ms=500_000.0),
    "clocks apart": Case(
        [{"clients": 2, "fanout_ms": -5_000.0} | QUICK, {"server": "b", "clients": 2} | QUICK],
        {"negative": 2 * 120},  # of the latency and of the fan-out hop
        {},
    ),
    "hops": lie({}, schedule_ms=20_000.0, broker_ms=40_000.0, fanout_ms=80_000.0),
    "framings": Case(
        [
            {"server": name, "stream": f"s{at}", "clients": 2, "omit": [10], "every": 2} | QUICK | framing
            for at, (name, framing) in enumerate(FRAMINGS.items())
        ],
        {"lost": len(FRAMINGS)},
        {"unexplained": len(FRAMINGS)},
    ),
    "closed": lie({"reconnects": 8}, every=1, drop_at=[10, 25], retry_ms=20),
    "down to the end": lie(
        {"lost": 44}, {"connection_down": 44}, drop_at=[40], drop_for_good=True, retry_ms=60_000
    )._replace(away=2),
}


def violations(case: Case, result: dict[str, Any]) -> list[str]:
    """The errors of the result as text."""
    found = {kind: result[kind] for kind in KINDS if result[kind]}
    clients = sum(script["clients"] for script in case.scripts)
    pairs = {
        # With different clocks, each negative hop counts: the fan-out and the latency.
        "problems": (len(result["problems"]), (1 if case.away else 0) + (2 if case.found.get("negative") else 0)),
        "asked": (result["asked"], clients),
        "connected": (result["connected"], clients - case.away),
        "clients": (result["clients"], clients),
        "users": (result["users"], clients),
        "deliveries": (result["deliveries"], result["sent"]),
        "found": (found, case.found),
        "causes": (result["causes"], case.causes),
        "timeline": (sum(row["deliveries"] for row in result["timeline"]), result["deliveries"]),
        "servers": (sum(one["deliveries"] for one in result["servers"].values()), result["deliveries"]),
        "events": (result["events"], sum(script["measure"] for script in streams(case).values())),
    }
    wrong = [f"{name}: {got}, not {wanted}" for name, (got, wanted) in pairs.items() if got != wanted]
    return wrong + times_wrong(case, result)


def streams(case: Case) -> dict[str, dict[str, Any]]:
    """The scripts by stream: replicas may serve the same one."""
    return {script.get("stream", "truth"): script for script in case.scripts}


def times_wrong(case: Case, result: dict[str, Any]) -> list[str]:
    """The hops whose p50 differs from the injected delay, which is so large that this machine adds almost nothing."""
    if len(case.scripts) > 1:
        return []
    hops = {hop: case.scripts[0].get(f"{hop}_ms", 0.0) for hop in ("schedule", "broker", "fanout")}
    expected = hops | {"latency": sum(hops.values())}
    got = {hop: result["hops_ms"][hop]["p50"] for hop in hops} | {"latency": result["latency_ms"]["p50"]}
    return [
        f"{name} p50: {got[name]} ms, not {wanted}"
        for name, wanted in expected.items()
        if not wanted * 0.999 <= got[name] <= wanted * 1.001 + 5_000
    ]
