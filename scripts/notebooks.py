"""Run every notebook from the top, in place: `python scripts/notebooks.py [--check] [NOTEBOOK…]`.

With `--check` nothing is written. Exit code 1, with the notebook, the cell and the error, when a cell fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from core.paths import absolute_path

RESULTS = "FANBENCH_RESULTS"
FOLDER = Path(__file__).parents[1] / "notebooks"


def run(path: Path, write: bool) -> None:
    """Execute a notebook in its folder and, if `write`, store its outputs in it, without the times of this run."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # Socket files that only we can open, not TCP ports that anyone on the machine can.
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        NotebookClient(notebook, km=kernel, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    if write:
        nbformat.write(notebook, path)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="run them and write nothing")
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(FOLDER.glob("*.ipynb")))
    options = parser.parse_args()
    if os.environ.get(RESULTS):
        os.environ[RESULTS] = str(absolute_path(os.environ[RESULTS]))  # a kernel runs in the notebooks' folder
    for path in options.notebooks:
        try:
            run(path, write=not options.check)
        except CellExecutionError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        print(f"{path.name}: every cell ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
