"""When a channel without confirmations is given up, with instants that the test sets."""

from brokers.amqp_confirms import REFUSED_S, UNCONFIRMED_TIMEOUTS, Confirms

TIMEOUT_S = 5.0
PATIENCE_S = UNCONFIRMED_TIMEOUTS * TIMEOUT_S


def failing(confirms, now_s):
    return confirms.failing(now_s, TIMEOUT_S)


def test_without_publishes_nothing_is_wrong():
    assert failing(Confirms(), 1e9) == ""


def test_a_channel_that_only_refuses_is_given_up_and_a_confirmation_restarts_the_time():
    confirms = Confirms()
    for now_s in (0.0, 0.3, 0.6):
        confirms.began(now_s)
        confirms.refused()
        confirms.ended(now_s)
    assert failing(confirms, REFUSED_S - 0.01) == ""
    assert failing(confirms, REFUSED_S) == "refused"
    confirms.began(0.9)
    confirms.confirmed()
    confirms.ended(0.9)
    assert failing(confirms, 1e9) == ""


def test_a_burst_whose_first_confirmation_is_late_is_waited_for():
    confirms = Confirms()
    confirms.began(0.0)
    confirms.began(0.1)
    assert failing(confirms, PATIENCE_S - 0.1) == ""
    assert failing(confirms, PATIENCE_S) == "not confirmed"
    confirms.confirmed()
    confirms.ended(PATIENCE_S)
    assert failing(confirms, 2 * PATIENCE_S - 0.1) == ""  # the other one has waited since then
    assert failing(confirms, 2 * PATIENCE_S) == "not confirmed"


def test_a_publish_that_was_cancelled_leaves_nothing_to_wait_for():
    confirms = Confirms()
    confirms.began(0.0)
    confirms.ended(0.1)
    assert failing(confirms, 1e9) == ""


def test_the_time_of_an_alarm_does_not_count():
    confirms = Confirms()
    confirms.began(0.0)
    confirms.pause()
    assert failing(confirms, 1e9) == ""
    confirms.began(100.0)
    assert failing(confirms, 100.0 + PATIENCE_S) == "not confirmed"
