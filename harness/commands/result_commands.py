"""The commands that read stored results and start nothing, as functions that cli.py turns into commands.

Each imports what it needs when it runs: `--help` must be instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.paths import absolute_path
from core.plain_text import plain
from harness.commands.options import AsJson, Clients, PayloadBytes, Rate, Replicas


def report(
    folders: Annotated[list[Path], typer.Argument(help="result directories", show_default=False, parser=absolute_path)],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="print the report as Markdown, for a pull request")
    ] = False,
) -> None:
    """Rebuild report.html of result directories."""
    from harness.report.page import build_report

    print(plain(build_report(folders, markdown=markdown)))


def export(
    folder: Annotated[Path, typer.Argument(help="a result directory", show_default=False, parser=absolute_path)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="directory for the files; default: hgrm/ in the result directory",
            show_default=False,
            parser=absolute_path,
        ),
    ] = None,
) -> None:
    """Write the histograms of a result directory as .hgrm files for HDR plotters."""
    from harness.results.hgrm import write_hgrm

    written = write_hgrm(folder, out)
    print(plain(f"{len(written)} files in {written[0].parent}"))


def bundle(
    folders: Annotated[
        list[Path],
        typer.Argument(help="result directories, or one that contains some", show_default=False, parser=absolute_path),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="the file to write; default: DIR.fanbench.zip next to the first directory",
            show_default=False,
            parser=absolute_path,
        ),
    ] = None,
) -> None:
    """Pack result directories into one file that a stranger can verify."""
    from harness.commands.publish import bundle_command

    raise typer.Exit(bundle_command(folders, out))


def verify(
    file: Annotated[Path, typer.Argument(help="a bundle", show_default=False, parser=absolute_path)],
    json_answer: AsJson = False,
) -> None:
    """Derive every figure and the verdict of a bundle again, and name each value that differs."""
    from harness.commands.publish import verify_command

    raise typer.Exit(verify_command(file, json_answer))


def site(
    paths: Annotated[
        list[Path],
        typer.Argument(help="bundles, or directories that contain some", show_default=False, parser=absolute_path),
    ],
    out: Annotated[Path, typer.Option(help="the directory to write the site into", parser=absolute_path)] = Path(
        "site"
    ),
) -> None:
    """Build a static site over many bundles: filters, a page for each contender, trends, and the commands that repeat them."""
    from harness.commands.publish import site_command

    raise typer.Exit(site_command(paths, out))


def choose(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="result directories; default: results/, or results/reference if that has no comparison",
            show_default=False,
            parser=absolute_path,
        ),
    ] = None,
    needs: Annotated[
        Path | None, typer.Option(help="a TOML file such as docs/needs.toml", show_default=False, parser=absolute_path)
    ] = None,
    clients: Clients = None,
    rate: Rate = None,
    replicas: Replicas = None,
    payload_bytes: PayloadBytes = None,
    topics: Annotated[
        int | None, typer.Option(help="topics that the clients are spread over", show_default="1")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, poisson or burst", show_default="constant")] = None,
    promise: Annotated[str | None, typer.Option(help="at-most-once or at-least-once", show_default=False)] = None,
    replay: Annotated[bool, typer.Option("--replay", help="a restarted replica must get earlier events")] = False,
    slo: Annotated[str, typer.Option(help="the objective, such as 'p99<100ms, lost=0'", show_default=False)] = "",
    have: Annotated[
        list[str] | None, typer.Option(help="a program that you already run, repeatable", show_default=False)
    ] = None,
    memory_mb: Annotated[float | None, typer.Option(help="memory that the broker may use", show_default=False)] = None,
    nodes: Annotated[int | None, typer.Option(help="nodes that the broker runs on: 1 or 3", show_default="1")] = None,
    max_silence: Annotated[
        str,
        typer.Option(
            help="how long clients may hear nothing when a broker or node dies, such as 5s", show_default=False
        ),
    ] = "",
    deploys_daily: Annotated[
        float | None, typer.Option(help="how many times a day the replicas are restarted", show_default="0")
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(help="a TOML file such as examples/prices.toml", show_default=False, parser=absolute_path),
    ] = None,
    json_answer: AsJson = False,
) -> None:
    """Check stored results against your needs: what is ruled out, by which measurement, and what remains, best first."""
    from harness.choose.needs import parse_needs
    from harness.commands.choose import choose_command

    given: dict[str, object] = {
        "clients": clients,
        "rate_hz": rate,
        "replicas": replicas,
        "payload_bytes": payload_bytes,
    }
    given |= {
        "topics": topics,
        "schedule": schedule,
        "promise": promise,
        "replay": replay,
        "slo": slo,
        "have": have,
        "memory_mb": memory_mb,
        "nodes": nodes,
        "max_silence": max_silence,
        "deploys_daily": deploys_daily,
    }
    raise typer.Exit(choose_command(folders or [], parse_needs(needs, given), json_answer, prices))
