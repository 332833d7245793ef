"""Entity tags: what counts as the same, and what a client is told when it is not."""

import pytest
from starlette.requests import Request

from shop.core.errors import AppError
from shop.core.etag import content_tag, is_unchanged, not_modified, require_match, version_tag


def request(name: str, *values: str) -> Request:
    headers = [(name.encode(), value.encode("latin-1")) for value in values]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


MATCHING = [
    ['W/"7"'],
    ['"7"'],
    ["*"],
    [" * "],
    ['"6", "7"'],
    ['W/"6",W/"7"'],
    ['"6"', 'W/"7"'],
    [', ,"6",, "7" ,'],
    ['"a,b", "7"'],
    ['"\xe9", "7"'],
]
OTHER = [
    ['W/"8"'],
    ['"77"'],
    ['""'],
    ["7"],
    ["W/7"],
    ['w/"7"'],
    ['"6 "7"'],
    ['"6" "7"'],
    ['"7'],
    ['*, "7"x'],
    [""],
    ['"6,7"'],
]


@pytest.mark.parametrize("values", MATCHING)
def test_a_client_that_names_the_version_is_unchanged_and_may_write(values: list[str]) -> None:
    assert is_unchanged(request("if-none-match", *values), version_tag(7))
    require_match(request("if-match", *values), 7)


@pytest.mark.parametrize("values", OTHER)
def test_a_client_that_names_anything_else_is_sent_the_row_and_may_not_write(values: list[str]) -> None:
    assert not is_unchanged(request("if-none-match", *values), version_tag(7))
    with pytest.raises(AppError) as refused:
        require_match(request("if-match", *values), 7)
    assert (refused.value.status, refused.value.code) == (412, "stale")
    assert refused.value.headers == {"ETag": 'W/"7"'}
    assert refused.value.details == {"version": 7}


def test_without_conditions_everything_is_sent_and_written() -> None:
    assert not is_unchanged(request("accept", "*/*"), version_tag(7))
    require_match(request("accept", "*/*"), 7)


def test_a_304_repeats_the_tag_and_the_caching_headers_and_has_no_body() -> None:
    response = not_modified('W/"7"', {"Cache-Control": "public, max-age=5"})
    assert (response.status_code, response.body) == (304, b"")
    assert response.headers["etag"] == 'W/"7"'
    assert response.headers["cache-control"] == "public, max-age=5"


def test_a_body_has_the_same_tag_twice_and_another_body_another_one() -> None:
    assert content_tag(b"[1]") == content_tag(b"[1]") != content_tag(b"[2]")
    assert is_unchanged(request("if-none-match", content_tag(b"[1]")), content_tag(b"[1]"))


def test_a_long_hostile_header_is_read_in_no_time() -> None:
    assert not is_unchanged(request("if-none-match", '"a",' * 10_000 + '"'), version_tag(7))
    assert not is_unchanged(request("if-none-match", "," * 40_000 + "x"), version_tag(7))
    assert not is_unchanged(request("if-none-match", " ,\t" * 15_000 + '"'), version_tag(7))
