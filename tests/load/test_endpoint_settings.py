"""The suite's options as an endpoint: what does not go together is refused, and no credential is left out without a word."""

import codecs

import pytest

from core.endpoint.origin import parse_origin
from core.endpoint.request import StreamEndpoint
from core.errors import UsageError
from load.endpoint_access import open_access, read_tokens
from load.endpoint_settings import endpoint_of
from load.settings import LoadSettings

HERE = [parse_origin("http://127.0.0.1:1")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"token": "abc", "tokens": "/t"}, "--token and --tokens: both give the Authorization header; leave one of them out"),
        ({"tokens": "/t", "header": ["authorization: Basic x"]}, "--tokens and --header 'Authorization: …'"),
        ({"token": "abc", "path": "/x", "header": ["Authorization: Basic x"]}, "--token and --header"),
        ({"cookie": ["a=b"], "header": ["Cookie: c=d"]}, "--cookie and --header 'Cookie: …': both give the Cookie header"),
        ({"path": "events"}, "--path 'events': a path begins with a slash"),
        ({"path": "/{room}"}, r"--path '/\{room\}': \{room\} is not known; use \{topic\} and \{user\}"),
        ({"query": ["ab"]}, "--query 'ab': give 'name=value'"),
        ({"header": ["Authorization"]}, r"--header \*\*\*: give 'Name: value'"),
        ({"cookie": ["a"]}, r"--cookie \*\*\*: give 'name=value'"),
        ({"body": "{}"}, "--body: a GET has no body; add --method POST"),
        ({"path": "/x", "wait": 5.0}, "--wait works only with fanbench's replicas; leave it out with --path"),
        ({"path": "/x", "sni": "a"}, "need an https:// address; give one with --host or --replicas, or leave them out"),
    ],
)  # fmt: skip
def test_an_impossible_request_is_refused_with_the_reason(options, says):
    with pytest.raises(UsageError, match=says) as refused:
        endpoint_of(LoadSettings(**options), HERE, several=False)
    assert not {"abc", "Basic"} & set(str(refused.value).split())


def test_ids_without_numbers_need_one_process(tmp_path):
    (tmp_path / "ids.toml").write_text('id = "id"\n')
    settings = LoadSettings(dialect=str(tmp_path / "ids.toml"))
    assert endpoint_of(settings, HERE, several=False).dialect.id == "id"
    with pytest.raises(
        UsageError, match="several processes would number them differently; run Locust in one process, or give seq"
    ):
        endpoint_of(settings, HERE, several=True)


def test_a_file_of_tokens_may_begin_with_a_mark_and_end_its_lines_as_windows_does(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_bytes(codecs.BOM_UTF8 + b"one\r\n\r\ntwo\r\n")
    assert read_tokens(tokens) == ["one", "two"]


def test_unreadable_files_are_reported_when_access_is_opened(tmp_path):
    with pytest.raises(
        UsageError, match=r"--tokens '.*/none': No such file or directory; give a file with one token per line"
    ):
        open_access(StreamEndpoint(tokens_file=str(tmp_path / "none")), "", 0, HERE)
