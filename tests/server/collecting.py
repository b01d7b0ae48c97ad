"""A replica that on SIGUSR2 writes to the file in its argument how many objects only a full collection finds."""

import gc
import signal
import sys
from pathlib import Path

from server.__main__ import main

FILE = Path(sys.argv.pop(1))


def collect(*_: object) -> None:
    found = gc.collect()
    with FILE.open("a") as file:
        file.write(f"{found}\n")
    gc.disable()  # until the next time, nothing else may find them


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, collect)
    main()
