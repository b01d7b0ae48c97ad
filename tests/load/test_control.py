"""Orders are read once and completely, in any pieces; other text is ignored."""

from core.contracts.load_orders import LoadOrder
from load.control import Control, chosen


def test_orders_are_read_as_they_come(tmp_path):
    path = tmp_path / "orders"
    path.write_text('{"do":"cut"}\n')
    control = Control(path)
    assert control.orders() == []  # earlier lines are not for us
    with path.open("a") as file:
        file.write('{"do":"mark","at_ns":7}\n{"do":"stall","share":0.1,"for')
        file.flush()
        assert control.orders() == [LoadOrder(do="mark", at_ns=7)]
        file.write('_s":2,"at_ns":8}\n')
    assert control.orders() == [LoadOrder(do="stall", share=0.1, for_s=2, at_ns=8)]
    assert control.orders() == []


def test_an_order_without_a_time_was_given_when_its_line_was_written(tmp_path):
    path = tmp_path / "orders"
    control = Control(path)
    assert control.orders() == []
    path.write_text('{"do":"mark"}\n')
    (order,) = control.orders()
    assert order.at_ns == path.stat().st_mtime_ns


def test_an_invalid_order_is_logged_and_skipped(tmp_path, caplog):
    path = tmp_path / "orders"
    path.touch()
    control = Control(path)
    lines = ["no json", '{"do":"dance"}', '{"do":"stall","share":2}', "[]", '{"do":"cut","at_ns":1}']
    path.write_text("".join(line + "\n" for line in lines))
    assert [order.do for order in control.orders()] == ["cut"]
    assert len(caplog.records) == 4
    assert all(f"{path}: order {line!r}: " in caplog.text for line in lines[:4])
    assert caplog.text.count("docs/load.md lists the orders") == 4


def test_the_share_is_exact_and_the_same_everywhere():
    assert len(chosen(200, 0.1)) == 20
    assert chosen(200, 0.1) == chosen(200, 0.1)
    assert chosen(10, 1.0) == set(range(10))
    assert len({number % 2 for number in chosen(200, 0.1)}) == 2  # not all on one of two replicas
