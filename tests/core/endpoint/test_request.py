"""A described request: what each client requests, and the errors of invalid ones."""

import pytest

from core.endpoint.origin import parse_origin
from core.endpoint.request import (
    NamedValue,
    StreamEndpoint,
    StreamRequest,
    TlsSettings,
    check_path,
    parse_cookie,
    parse_header,
    parse_pair,
    require_whole,
)
from core.errors import UsageError


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (StreamRequest(), "/sse?topic=a%2Fb%20%C3%BC"),
        (StreamRequest(path="/events/{topic}"), "/events/a%2Fb%20%C3%BC"),
        (StreamRequest(path="/e", query=(NamedValue("user", "{user}"),)), "/e?user=7"),
        (StreamRequest(path="/e?x=1", query=(NamedValue("t", "{topic}"), NamedValue("y", "&"))), "/e?x=1&t=a%2Fb%20%C3%BC&y=%26"),
    ],
)  # fmt: skip
def test_path_and_query_follow_the_method(request_, target):
    assert request_.target(parse_origin("http://h/p/"), "a/b ü", 7) == f"/p{target}"


def test_headers_cookies_and_body_are_filled_in():
    request = StreamRequest(
        method="POST",
        headers=(NamedValue("X-User", "{user}"),),
        cookies=(NamedValue("sid", "s{user}"), NamedValue("t", "{topic}")),
        body='{"messages":[{"content":"{topic}"}]}',
    )
    assert request.fields('say "hi"', 3) == [("X-User", "3"), ("Cookie", 'sid=s3; t=say "hi"')]
    assert request.content('say "hi"', 3) == b'{"messages":[{"content":"say \\"hi\\""}]}'
    assert request.names_topic
    assert not StreamRequest(path="/events").names_topic


@pytest.mark.parametrize(
    ("check", "text", "says"),
    [
        (check_path, "events", "begins with a slash"),
        (check_path, "/a b", "percent-encode them"),
        (check_path, "/ä", "percent-encode them"),
        (check_path, "/{room}", r"\{room\} is not known"),
        (parse_header, "X-User", "Name: value"),
        (parse_header, "X User: a", "Name: value"),
        (parse_header, "Host: a", "Host follows from the rest"),
        (parse_header, "X: a\r\nY: b", "control characters"),
        (parse_header, "X: {who}", r"\{who\} is not known"),
        (parse_pair, "a", "name=value"),
        (parse_pair, "=a", "name=value"),
        (parse_cookie, "a=1; b=2", "one cookie for each option"),
    ],
)
def test_an_impossible_request_part_is_refused(check, text, says):
    with pytest.raises(ValueError, match=says):
        check(text)


def test_valid_values_are_accepted():
    assert check_path("/events/{topic}?a={user}") == "/events/{topic}?a={user}"
    assert parse_header("X-Api-Key:  k y ") == ("X-Api-Key", "k y")
    assert parse_pair("after=a=b") == ("after", "a=b")
    assert parse_cookie("sid=abc==") == ("sid", "abc==")


@pytest.mark.parametrize(
    ("request_", "tls", "schemes", "says"),
    [
        (StreamRequest(body="{}"), TlsSettings(), ["http"], "a GET has no body"),
        (StreamRequest(), TlsSettings(key_file="k"), ["https"], "the certificate is missing"),
        (StreamRequest(), TlsSettings(ca_file="k"), ["http"], "need an https:// address"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(request_, tls, schemes, says):
    with pytest.raises(UsageError, match=says):
        require_whole(request_, tls, schemes)
    require_whole(StreamRequest(), TlsSettings(ca_file="k"), ["http", "https"])


@pytest.mark.parametrize(
    ("url", "authority", "port"),
    [
        ("https://h", "h", 443),
        ("https://h:80", "h:80", 80),
        ("http://h:443/", "h:443", 443),
        ("https://[::1]:443/p", "[::1]", 443),
    ],
)
def test_origins(url, authority, port):
    origin = parse_origin(url)
    assert (origin.authority, origin.port) == (authority, port)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://x", "is not an http"),
        ("x:8000", "is not an http"),
        ("http://", "is not an http"),
        ("http://x:99999", "Port out of range"),
        ("https://user:secret@x", "server 'x': the URL has a user name"),
        ("http://x/?a=1", "has a query"),
    ],
)
def test_other_urls_are_refused_without_their_secrets(url, says):
    with pytest.raises(UsageError, match=says) as caught:
        parse_origin(url)
    assert "secret" not in str(caught.value)


def test_an_endpoint_travels_as_json():
    endpoint = StreamEndpoint(
        request=StreamRequest(headers=(NamedValue("A", "b"),)), tls=TlsSettings(ca_file="/ca.pem")
    )
    assert StreamEndpoint.model_validate_json(endpoint.model_dump_json()) == endpoint
