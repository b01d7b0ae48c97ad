"""A proof is worth something on one connection, from one end, with one secret and one run."""

import pytest

from generator.join_proof import JoinNonces, new_nonce

SECRET = "a-m4rked-s3cret-of-32-characters"
NONCES = JoinNonces("1" * 64, "2" * 64, "mine")
PROOF = NONCES.proof(SECRET, "generator")


def test_the_end_that_made_it_proves_itself():
    assert NONCES.proves(PROOF, SECRET, "generator")
    assert PROOF == "a1e37fc183c270e8dc5526a80d2eb47d0918241e43d63ef383739ba1675b11cc"


@pytest.mark.parametrize(
    "other",
    [
        NONCES._replace(conductor="3" * 64),
        NONCES._replace(generator="3" * 64),
        NONCES._replace(run_name="theirs"),
        JoinNonces(NONCES.generator, NONCES.conductor, "mine"),
    ],
)
def test_it_proves_nothing_elsewhere(other):
    assert not other.proves(PROOF, SECRET, "generator")


def test_it_proves_nothing_of_the_other_end_or_with_another_secret():
    assert not NONCES.proves(PROOF, SECRET, "conductor")
    assert not NONCES.proves(PROOF, SECRET + "x", "generator")
    assert not NONCES.proves(PROOF, "", "generator")
    assert not NONCES.proves("", SECRET, "generator")
    assert not NONCES.proves("\u00e4" + PROOF, SECRET, "generator")


def test_no_number_comes_twice():
    assert len({new_nonce() for _ in range(1000)}) == 1000
