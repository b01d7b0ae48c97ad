"""A mutation finds its place by structure: names and layout may change, and a missing rule is reported."""

import pytest

from tests.mutation import mutate_text

SOURCE = """
class Sender:
    async def send(self, event):
        if self.late > 0 and event.due >= self.limit:
            self.failed += 1
            self.log(event)
        # kept: the order
        return max(self.late, event.due, key=abs)

    def count(self):
        self.sent += 1
"""
RENAMED = """
class Sender:
    async def send(self, message):
        if (
            self._lateness_ns > 0
            and message.due_ns >= self._limit
        ): self._lost += 1; self._tell(message)
        return max(
            self._lateness_ns, message.due_ns, key=abs,
        )
"""
MUTATIONS = [  # pattern, replacement, expected part of the changed SOURCE
    ("A >= B", "A > B", "event.due > self.limit"),
    ("X += 1", "X += 0", "self.failed += 0"),
    ("max(A, B, key=abs)", "B", "return event.due"),
    ("if A and B: ...", "if A: ...", "if self.late > 0:\n            self.failed += 1\n            self.log(event)"),
    ("if C:\n    N += 1\n    ...", "if C: ...", "self.limit:\n            self.log(event)"),
    ("F(E)", "None", "self.failed += 1\n            None"),
    ("return X", "X", "self.failed += 1\n            self.log(event)\n        max("),
]


@pytest.mark.parametrize(("pattern", "replacement", "expected"), MUTATIONS)
def test_it_is_made_whatever_names_and_layout(pattern, replacement, expected):
    assert expected in mutate_text(SOURCE, "Sender.send", pattern, replacement)
    assert mutate_text(RENAMED, "Sender.send", pattern, replacement)


def test_letters_may_be_given_a_meaning_by_another_pattern():
    given = "max(L, D, key=abs)"
    assert "event.due + 1 >= self.limit" in mutate_text(SOURCE, "Sender.send", "D >= X", "D + 1 >= X", given)
    with pytest.raises(LookupError, match="0 places look like 'L >= X'"):
        mutate_text(SOURCE, "Sender.send", "L >= X", "L > X", given)


def test_a_new_letter_is_a_variable():
    assert "return [(Z := max(self.late, event.due)), Z][0]" in mutate_text(
        SOURCE, "Sender.send", "max(A, B, key=abs)", "[Z := max(A, B), Z][0]"
    )


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("A < B", "0 places look like 'A < B', not one; is the rule still kept there?"),
        ("A.B", "7 places look like 'A.B'"),
        ("A > A", "0 places"),
    ],
)
def test_a_missing_or_repeated_rule_is_reported(pattern, told):
    with pytest.raises(LookupError, match="Sender") as error:
        mutate_text(SOURCE, "Sender.send", pattern, "None")
    assert told in str(error.value)


def test_a_mutation_that_changes_nothing_is_reported():
    with pytest.raises(LookupError, match="changes nothing"):
        mutate_text(SOURCE, "Sender.send", "A >= B", "A >= B")
