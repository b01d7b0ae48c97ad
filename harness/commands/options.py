"""The options that several `fanbench` commands share, and the scenario that they define."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.errors import UsageError
from core.paths import absolute_path

if TYPE_CHECKING:
    from core.scenario import Scenario


def _load_processes(text: str) -> int:
    """0 is auto."""
    return 0 if text == "auto" else _number_of_processes(text)


def _generator_processes(text: str) -> int:
    return 1 if text == "auto" else _number_of_processes(text)


def _number_of_processes(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(f"{text!r}: give a number of 1 or more, or auto")


def _given(context: typer.Context, param: typer.CallbackParam, value: str) -> str:
    """Refuse an empty text: a variable of the user's shell that is not set would quietly change what is measured."""
    source = context.get_parameter_source(param.name) if param.name else None
    if not value.strip() and source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter(
            "it is empty; is a variable of your shell not set? Give a value, or leave the option out"
        )
    return value


Contenders = Annotated[
    list[str] | None,
    typer.Argument(help="names that `fanbench doctor` lists, or URLs of your own brokers", show_default=False),
]
ScenarioName = Annotated[str, typer.Option("--scenario", "-s", help="a name in scenarios/, or a path to a TOML file")]
Clients = Annotated[int | None, typer.Option(help="SSE clients, over all replicas", show_default=False)]
Rate = Annotated[float | None, typer.Option(help="events per second, over all topics", show_default=False)]
Replicas = Annotated[int | None, typer.Option(help="SSE server processes", show_default=False)]
Topics = Annotated[
    str | None, typer.Option(help="a number of topics, or names: a,b or room-{0..9}", show_default=False)
]
PayloadBytes = Annotated[int | None, typer.Option(help="size of a published event", show_default=False)]
Duration = Annotated[float | None, typer.Option(help="measured seconds of each run", show_default=False)]
Warmup = Annotated[float | None, typer.Option(help="seconds before the measured ones", show_default=False)]
Rounds = Annotated[
    int | None, typer.Option(help="runs of each contender; 0: until all pairs are settled", show_default=False)
]
LoadProcesses = Annotated[
    int | None,
    typer.Option(
        help="Locust processes that hold the clients; auto: as many as the load needs",
        show_default=False,
        metavar="auto|N",
        parser=_load_processes,
    ),
]
GeneratorProcesses = Annotated[
    int | None,
    typer.Option(
        help="processes of the generator, which publish a share of the topics each; auto: 1",
        show_default=False,
        metavar="auto|N",
        parser=_generator_processes,
    ),
]
Seed = Annotated[int | None, typer.Option(help="seed of the order of runs and of random schedules", show_default=False)]
Out = Annotated[Path, typer.Option(help="directory for the results", parser=absolute_path)]
Axis = Literal["clients", "rate", "replicas", "topics"]
LaunchedBy = Annotated[
    Literal["auto", "local", "docker"],
    typer.Option(
        "--launch", help="how programs run: installed ones (auto, local), or containers of official images (docker)"
    ),
]
ReplicasAt = Annotated[
    str,
    typer.Option(
        help="replicas that run elsewhere, each at its own address: http://HOST:PORT,http://HOST:PORT",
        metavar="URL,URL",
        callback=_given,
        show_default=False,
    ),
]
ClientsAt = Annotated[
    str,
    typer.Option(
        help="where clients connect, such as a proxy; default: the replicas",
        metavar="URL,URL",
        callback=_given,
        show_default=False,
    ),
]
WorkersExpected = Annotated[
    int | None,
    typer.Option(help="Locust workers to wait for, which run elsewhere", show_default="1 with --replicas-at"),
]
MasterAt = Annotated[
    str,
    typer.Option(
        help="where Locust's master listens for them; 0.0.0.0:5557 accepts other machines",
        metavar="HOST:PORT",
        callback=_given,
        show_default="127.0.0.1:5557",
    ),
]
RunName = Annotated[
    str,
    typer.Option(
        help="the --run-name of these workers, and the FANBENCH_RUN_NAME of generators elsewhere", show_default=False
    ),
]
GeneratorsExpected = Annotated[
    int | None,
    typer.Option(help="generators to wait for, which run elsewhere and share the topics", show_default=False),
]
GeneratorsAt = Annotated[
    str,
    typer.Option(
        help="where fanbench waits for them; 0.0.0.0:5560 accepts other machines, and needs FANBENCH_JOIN_SECRET",
        metavar="HOST:PORT",
        callback=_given,
        show_default="127.0.0.1:5560",
    ),
]
Deploy = Annotated[
    str,
    typer.Option(
        help="run before each run: gives the replicas the broker of FANBENCH_BROKER_URL and FANBENCH_DELIVERY",
        metavar="CMD",
        callback=_given,
        show_default=False,
    ),
]
Break = Annotated[
    str,
    typer.Option(
        "--break",
        help="the fault deployment-break: breaks something there",
        metavar="CMD",
        callback=_given,
        show_default=False,
    ),
]
Mend = Annotated[
    str,
    typer.Option("--mend", help="repairs what --break broke", metavar="CMD", callback=_given, show_default=False),
]
Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        help="another SSE service to compare with: nchan, sse-starlette, fastapi, better-sse, durable-streams, pushpin, or your own endpoint file; repeatable",
        metavar="NAME|FILE",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print the answer as JSON")]


def require_endpoints_here(endpoints: list[str], replicas_at: str, transports: Sequence[str]) -> list[str]:
    """The endpoints, if the other options allow them.

    Raises:
        UsageError: replicas run elsewhere, or clients are to use WebSockets.
    """
    if endpoints and replicas_at:
        raise UsageError(
            f"--endpoint {endpoints[0]} and --replicas-at: the clients of an endpoint are started here, those of --replicas-at "
            "elsewhere; leave one of them out"
        )
    if endpoints and "ws" in transports:
        raise UsageError(
            f"--endpoint {endpoints[0]} and --transport {','.join(transports)}: an endpoint streams Server-Sent Events; leave "
            "--transport out"
        )
    return endpoints


def scenario_from(name: str, topics: str | None = None, **fields: object) -> Scenario:
    """The named scenario, overridden by the command line's fields."""
    from core.resources import resource_folder
    from core.scenario import load_scenario
    from core.topics import topic_pattern

    if topics is not None and topics.lstrip("-").isdigit():
        if int(topics) < 1:
            raise UsageError(f"topics = {topics}: must be 1 or more; give a number, or names: a,b or room-{{0..9}}")
        topics = topic_pattern(int(topics))
    return load_scenario(name, resource_folder("scenarios")).with_fields(topics=topics, **fields)
