"""`python -m load WORD…` is `locust WORD…`, started in two thirds of the time.

gevent announces each module that it patches, and for each of those 25 times metadata.entry_points looks through all
packages that are installed: a third of Locust's start. What is installed does not change meanwhile.
"""

from functools import cache
from importlib import metadata

metadata.entry_points = cache(metadata.entry_points)  # type: ignore[assignment]

from locust.main import main  # noqa: E402 - patches as it is imported

if __name__ == "__main__":
    main()  # type: ignore[no-untyped-call]
