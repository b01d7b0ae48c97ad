"""History agrees with a plain list: its bounds hold, positions stay valid, and its statements about streams are true."""

from hypothesis import given
from hypothesis import strategies as st

from server.frame import Frame
from server.history import MAX_STREAMS, History, HistoryBound

AGE_NS = 1000
ROOMY = HistoryBound(10_000, 10**9, 10**12)


def frame(stream: str, seq: int, sent_ns: int = 0, size: int = 10) -> Frame:
    return Frame("t", stream, seq, sent_ns, b"x" * size)


def fill(history: History, events: list[tuple[str, int]]) -> None:
    for i, (stream, seq) in enumerate(events):
        history.append(frame(stream, seq, sent_ns=i), now_ns=i)


def held(history: History) -> list[Frame]:
    return list(history.walk(history.start))


@given(
    sizes=st.lists(st.integers(1, 400), max_size=80),
    events=st.integers(0, 30),
    size_bytes=st.integers(0, 4000),
    step_ns=st.integers(0, 200),
)
def test_the_latest_frames_are_held_within_every_bound(
    sizes: list[int], events: int, size_bytes: int, step_ns: int
) -> None:
    history = History(HistoryBound(events, size_bytes, AGE_NS), complete_since_ns=0)
    frames: list[Frame] = []
    held_bytes = 0
    for i, size in enumerate(sizes):
        frames.append(frame("s", i, sent_ns=i * step_ns, size=size))
        held_bytes += history.append(frames[-1], now_ns=i * step_ns)
        now_ns = i * step_ns
        kept = held(history)
        assert kept == frames[len(frames) - len(kept) :]
        assert history.held_bytes == held_bytes == sum(len(f.chunk) for f in kept)
        assert len(kept) <= events
        assert history.held_bytes <= size_bytes
        assert all(f.sent_ns >= now_ns - AGE_NS for f in kept)
        if len(kept) < len(frames):  # nothing is discarded before a bound requires it
            older = frames[-len(kept) - 1]
            assert (
                len(kept) == events
                or history.held_bytes + len(older.chunk) > size_bytes
                or older.sent_ns < now_ns - AGE_NS
            )
        assert history.end == len(frames)
        assert history.slice(history.start, 5) == kept[:5]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=40), st.integers(0, 15))
def test_find_and_after_agree_with_a_plain_search(order: list[tuple[str, int]], events: int) -> None:
    """With holes, duplicates and two mixed streams; each stream's seqs never decrease, as adapters promise."""
    order = sorted(order, key=lambda pair: pair[1])
    history = History(HistoryBound(events, 10**9, 10**12), 0)
    fill(history, order)
    kept = held(history)
    for stream in "ab":
        for seq in range(11):
            found = history.find(stream, seq)
            assert (found is None) == ((stream, seq) not in [(f.stream, f.seq) for f in kept])
            assert found is None or (found.stream, found.seq) == (stream, seq)
            skipped = kept[: history.after(stream, seq) - history.start]
            assert not [f for f in skipped if f.stream == stream and f.seq > seq]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=40), st.integers(0, 15))
def test_a_span_describes_the_held_part_of_its_stream(order: list[tuple[str, int]], events: int) -> None:
    order = sorted(order, key=lambda pair: pair[1])
    history = History(HistoryBound(events, 10**9, 10**12), 0)
    fill(history, order)
    for stream in {stream for stream, _ in order}:
        seen = [seq for s, seq in order if s == stream]
        span = history.spans[stream]
        assert span.last == max(seen)
        assert set(range(span.floor + 1, span.last + 1)) & set(seen) <= {f.seq for f in held(history)}


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(0, 1500))
def test_count_last_is_the_fewest_frames_that_hold_the_bytes(sizes: list[int], wanted: int) -> None:
    history = History(ROOMY, 0)
    for i, size in enumerate(sizes):
        history.append(frame("s", i, size=size), 0)
    count = history.count_last(wanted)
    tail = [len(f.chunk) for f in held(history)]
    assert sum(tail[len(tail) - count :]) >= min(wanted, sum(tail))
    assert count == 0 or sum(tail[len(tail) - count + 1 :]) < wanted


def test_expire_and_shrink_return_the_freed_bytes() -> None:
    history = History(HistoryBound(100, 10**6, AGE_NS), 0)
    for i in range(10):
        history.append(frame("s", i, sent_ns=i * 100), i * 100)
    size = history.held_bytes
    assert history.expire(now_ns=1450) == size // 2
    assert [f.seq for f in held(history)] == [5, 6, 7, 8, 9]
    assert history.shrink(1) == size // 10
    assert history.shrink(10**9) == size * 4 // 10
    assert len(history) == 0
    assert history.held_bytes == 0
    assert history.start == history.end == 10
    assert history.complete_since_ns == 901
    assert history.spans["s"].floor == history.spans["s"].last == 9


def test_streams_remembered_are_bounded() -> None:
    history = History(ROOMY, 0)
    fill(history, [(f"s{i}", 0) for i in range(MAX_STREAMS + 50)])
    assert len(history.spans) == MAX_STREAMS
    assert f"s{MAX_STREAMS + 49}" in history.spans


def test_since_is_the_first_frame_sent_from_then_on() -> None:
    history = History(ROOMY, 0)
    fill(history, [("s", i) for i in range(10)])
    assert [history.since(ns) for ns in (-1, 0, 4, 9, 10)] == [0, 0, 4, 9, 10]
