"""The profile parses py-spy's stacks."""

from benchmarks.profile import shares

STACKS = """\
main (server/__main__.py:9);flush (/somewhere/core/sse.py:12);write (libc.so.6) 60
main (server/__main__.py:9);flush (/somewhere/core/sse.py:14) 20
main (server/__main__.py:9);flush (/somewhere/core/sse.py:15) 10
main (server/__main__.py:9) 10
"""


def test_the_lines_of_a_function_are_added_up() -> None:
    found = shares(STACKS, lines=False)
    assert list(found.items()) == [("write (libc.so.6)", 0.6), ("flush (sse.py)", 0.3), ("main (__main__.py)", 0.1)]


def test_lines_can_be_distinguished() -> None:
    found = shares(STACKS.replace(" (libc.so.6)", ""), lines=True)
    assert found == {"write": 0.6, "flush (sse.py:14)": 0.2, "flush (sse.py:15)": 0.1, "main (__main__.py:9)": 0.1}
