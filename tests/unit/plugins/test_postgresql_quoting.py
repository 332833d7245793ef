"""Names, values and passwords survive whatever they contain, or are refused with a sentence."""

from __future__ import annotations

import base64

import pytest

from tests.unit.plugins.test_postgresql_harness import part

quoting, scram = part("quoting"), part("scram")


def test_quotes_in_a_name_are_doubled() -> None:
    assert quoting.identifier('a"; DROP ROLE b; --') == '"a""; DROP ROLE b; --"'


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is empty"),
        ("a\nb", "control character"),
        ("ä" * 32, "is 64 bytes long and PostgreSQL keeps 63"),
        ("a\ud800", "not valid Unicode"),
    ],
)
def test_a_name_that_postgresql_would_change_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(quoting.RefusedError, match=sentence):
        quoting.identifier(name)


@pytest.mark.parametrize(
    ("value", "sql"),
    [
        ("it's", "'it''s'"),
        ("$$; \\! id", "E'$$; \\\\! id'"),
        ("a\nb\\c'", "E'a\\x0ab\\\\c'''"),
        (":name :'x'", "':name :''x'''"),
    ],
)
def test_a_value_stays_one_literal_on_one_line(value: str, sql: str) -> None:
    assert quoting.literal(value) == sql


def test_a_value_with_nul_is_refused() -> None:
    with pytest.raises(quoting.RefusedError, match="NUL"):
        quoting.literal("a\0b")


@pytest.mark.parametrize(
    ("stored", "elements"),
    [
        ('"$user", public', ["$user", "public"]),
        ('"a,b", "c""d"', ["a,b", 'c"d']),
        ('""', [""]),
        ("Shop", ["shop"]),
    ],
)
def test_a_list_setting_is_read_element_by_element(stored: str, elements: list[str]) -> None:
    assert quoting.split_list(stored) == elements


@pytest.mark.parametrize(
    ("name", "stored", "wanted"),
    [
        ("search_path", "shop, public", ["shop", "public"]),
        ("search_path", '"$user", public', '"$user", public'),
        ("search_path", '""', []),
        ("statement_timeout", "5s", "5s"),
        ("work_mem", "4096", 4096),
        ("default_transaction_read_only", "on", True),
        ("DateStyle", "ISO, DMY", ["ISO", "DMY"]),
    ],
)
def test_a_setting_that_says_the_same_is_the_same(name: str, stored: str, wanted: object) -> None:
    assert quoting.same_setting(name, stored, wanted)
    assert not quoting.same_setting(name, "other", wanted)


def test_a_setting_name_is_no_place_for_sql() -> None:
    with pytest.raises(quoting.RefusedError, match="not the name of a PostgreSQL setting"):
        quoting.setting_assignment("work_mem; DROP", "1")


def test_scram_keys_are_those_of_the_example_in_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    stored_key, server_key = scram.keys("pencil", salt, 4096)
    assert base64.b64encode(stored_key) == b"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    assert base64.b64encode(server_key) == b"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_a_verifier_lets_its_own_password_in_and_no_other() -> None:
    verifier = scram.verifier("geheim")
    assert scram.matches("geheim", verifier)
    assert not scram.matches("geheim ", verifier)
    assert not scram.matches("geheim", "md5" + "0" * 32)
    assert not scram.matches("geheim", None)


def test_two_verifiers_of_one_password_have_different_salts() -> None:
    assert scram.verifier("geheim") != scram.verifier("geheim")


def test_a_verifier_may_be_stated_instead_of_a_password() -> None:
    verifier = scram.verifier("geheim")
    assert scram.verifier(verifier) == verifier
    assert scram.matches(verifier, verifier)
    assert not scram.matches(verifier, scram.verifier("geheim"))
