"""The settings of joining: a secret that is long enough and in no command line, and an address that strangers reach."""

import pytest
import trustme

from core.errors import UsageError
from core.join_settings import JoinSettings
from core.settings import read_settings
from generator.settings import GeneratorSettings

SECRET = "a-m4rked-s3cret-of-32-characters"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_on_this_machine_alone_no_secret_is_needed(host):
    JoinSettings().require_guarded("--generators-at", host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.40", "::", "fe80::1", "fanbench.example"])
def test_where_others_reach_it_a_secret_is_needed_or_a_word_that_none_is(host):
    with pytest.raises(UsageError, match=r"--generators-at X: .* FANBENCH_JOIN_SECRET .* FANBENCH_JOIN_OPEN=true"):
        JoinSettings().require_guarded("--generators-at X", host)
    JoinSettings(join_secret=SECRET).require_guarded("--generators-at", host)
    JoinSettings(join_open=True).require_guarded("--generators-at", host)


def test_a_secret_comes_from_the_environment_or_a_file(monkeypatch, tmp_path):
    assert read_settings(JoinSettings).secret == ""
    monkeypatch.setenv("FANBENCH_JOIN_SECRET", "")
    assert read_settings(JoinSettings).secret == ""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\nmore\n", encoding="utf-8")
    monkeypatch.setenv("FANBENCH_JOIN_SECRET_FILE", str(file))
    assert read_settings(JoinSettings).secret == SECRET
    assert read_settings(JoinSettings).of_conductor() == {"join_secret": SECRET}
    monkeypatch.setenv("FANBENCH_JOIN_SECRET", SECRET)
    with pytest.raises(UsageError, match="names another secret; leave one out"):
        read_settings(JoinSettings)


@pytest.mark.parametrize("secret", ["a-m4rked-s3cret", f" {SECRET}", f"{SECRET}\x07", "\udcff" * 16])
def test_a_weak_secret_is_refused_and_not_shown(monkeypatch, secret):
    monkeypatch.setenv("FANBENCH_JOIN_SECRET", secret)
    with pytest.raises(UsageError, match=r"FANBENCH_JOIN_SECRET=\*\*\*: .*secret of at least 16 characters") as caught:
        read_settings(GeneratorSettings)
    assert "m4rked" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"\n", "its first line is empty"), (b"short", "at least 16")]
)
def test_a_file_without_a_usable_secret_is_named(monkeypatch, tmp_path, content, words):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("FANBENCH_JOIN_SECRET_FILE", str(file))
    with pytest.raises(UsageError, match=words) as caught:
        read_settings(JoinSettings)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("words", [["--join-secret", SECRET], [f"--join-secret={SECRET}"], [f"--join-secre={SECRET}"]])
def test_a_secret_on_the_command_line_is_refused(words):
    with pytest.raises(UsageError, match=r"--join-secret: everyone on this machine .* FANBENCH_JOIN_SECRET") as caught:
        read_settings(GeneratorSettings, words)
    assert SECRET not in str(caught.value)


def test_nothing_shows_the_secret():
    settings = JoinSettings(join_secret=SECRET)
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_files_of_tls_are_checked_at_the_start(tmp_path):
    certificate = trustme.CA().issue_cert("fanbench.test")
    alone, key, none = (tmp_path / name for name in ("cert.pem", "key.pem", "none.pem"))
    certificate.cert_chain_pems[0].write_to_path(alone)
    certificate.private_key_pem.write_to_path(key)
    assert JoinSettings().conductor_tls() is None
    assert JoinSettings().joining_tls() is None
    assert JoinSettings(join_cert=alone, join_key=key).conductor_tls() is not None
    with pytest.raises(UsageError, match=f"FANBENCH_JOIN_CERT={none}: No such file"):
        JoinSettings(join_cert=none).conductor_tls()
    with pytest.raises(UsageError, match="give PEM files of a certificate and its key"):
        JoinSettings(join_cert=alone).conductor_tls()
    with pytest.raises(UsageError, match=f"FANBENCH_JOIN_KEY={key} without FANBENCH_JOIN_CERT"):
        JoinSettings(join_key=key).conductor_tls()
    with pytest.raises(UsageError, match=f"FANBENCH_JOIN_CA_FILE={key}: .*give a PEM file"):
        JoinSettings(join_ca_file=key).joining_tls()
    with pytest.raises(UsageError, match=r"FANBENCH_JOIN_SNI=fanbench.test has no meaning without TLS"):
        JoinSettings(join_sni="fanbench.test").joining_tls()
