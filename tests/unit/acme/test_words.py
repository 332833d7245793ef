"""What an authority refused with is read out of certbot's log, where certbot itself says something else or nothing."""

from __future__ import annotations

import pytest
from slipway_acme.asking import said

# As certbot 2.1 logs an answer.
ANSWER = """2026-11-27 13:35:01,221:DEBUG:acme.client:Received response:
HTTP {status}
Content-Type: application/problem+json

{body}
2026-11-27 13:35:01,223:DEBUG:certbot._internal.log:Exiting abnormally:
AttributeError: can't set attribute
"""


def answered(status: int, body: str) -> str:
    return ANSWER.format(status=status, body=body)


LIMITED = """{
  "type": "urn:ietf:params:acme:error:rateLimited",
  "detail": "too many certificates (5) already issued for this exact set of names, retry after 2026-11-28 10:00:00 UTC",
  "status": 429
}"""
OLD_NONCE = (
    '{"type": "urn:ietf:params:acme:error:badNonce", "detail": "invalid anti-replay nonce", "status": 400}'
)
CHALLENGE = """{
  "identifier": {"type": "dns", "value": "shop.test"},
  "status": "invalid",
  "challenges": [{"type": "http-01", "error": {
      "type": "urn:ietf:params:acme:error:connection", "detail": "Fetching http://shop.test: Timeout", "status": 400}}]
}"""
UNKNOWN = '{"type": "urn:ietf:params:acme:error:alreadyReplaced", "detail": "", "status": 409}'


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            answered(429, LIMITED),
            "too many were asked for in too short a time (rateLimited: too many certificates (5) already "
            "issued for this exact set of names, retry after 2026-11-28 10:00:00 UTC).",
        ),
        (
            answered(200, CHALLENGE),
            "it could not reach port 80 of this name (connection: Fetching http://shop.test: Timeout).",
        ),
        (answered(409, UNKNOWN), "it refused (alreadyReplaced: no more was said)."),
        # certbot tries an old nonce again by itself: what came then counts.
        (answered(429, LIMITED) + answered(400, OLD_NONCE), said(answered(429, LIMITED))),
        (
            answered(400, OLD_NONCE),
            "it took the request for an old one, which another try cures (badNonce: invalid anti-replay nonce).",
        ),
        ("certbot wrote nothing of the kind { } {", ""),
    ],
    ids=["rate limit", "challenge", "a kind of later", "an old nonce after it", "an old nonce", "nothing"],
)
def test_the_authoritys_own_words_are_said(log: str, words: str) -> None:
    assert said(log) == words
