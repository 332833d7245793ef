"""What the public gets: HTTPS, headers, limits, errors that speak, ids that can be followed."""

import http.client
import json
import re
import ssl
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.e2e import hosts
from tests.e2e.web import PATIENCE, Response, Site
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200), pytest.mark.usefixtures("host")]

HEADERS = {
    "Strict-Transport-Security": "max-age=300",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
VERSIONS = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
MEBIBYTE = 1 << 20
# The burst that one client may ask in, divided by what it may ask every second.
SECONDS_TO_FORGET = 200 / 100


def assert_headers(response: Response) -> None:
    """Fail unless each security header is there, once, and nobody says which program answers."""
    for name, value in HEADERS.items():
        assert response.headers.get_all(name) == [value], f"{name}\n{response}"
    assert response.headers["Server"] == "nginx", response


def assert_problem(response: Response, status: int, code: str) -> None:
    """Fail unless the response is an error a program can read, with an id to ask for."""
    assert response.status == status, response
    assert response.headers["Content-Type"] == "application/problem+json", response
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code), response
    assert problem["message"] == problem["detail"] != "", response
    assert problem["instance"].startswith("/"), response
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", problem["request_id"]), response


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_tls_1_2_and_1_3_alone_are_spoken(site: Site, version: ssl.TLSVersion) -> None:
    context = site.context()
    # A client of today would refuse the old versions by itself: the server is to.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if version >= ssl.TLSVersion.TLSv1_2:
        with site.handshake(context) as connection:
            assert connection.version() == version.name.replace("_", ".")
    else:
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            site.handshake(context)


def test_a_weak_cipher_is_refused(site: Site) -> None:
    context = site.context()
    context.set_ciphers("AES128-SHA:AES256-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        site.handshake(context)


def test_http_2_is_agreed_on(site: Site) -> None:
    context = site.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with site.handshake(context) as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_the_certificate_is_the_authoritys_and_nobody_elses(site: Site) -> None:
    with site.handshake(site.context()) as connection:
        certificate = connection.getpeercert()
    assert certificate is not None
    assert ("IP Address", site.address) in certificate["subjectAltName"]
    with pytest.raises(ssl.SSLCertVerificationError):
        site.handshake(ssl.create_default_context())


def test_http_leads_to_https(site: Site) -> None:
    response = site.plain("/api/v1/products?limit=2")
    assert response.status == 308, response
    assert response.headers["Location"] == f"https://{site.address}/api/v1/products?limit=2"


def test_who_asks_for_another_host_gets_no_answer(site: Site) -> None:
    with pytest.raises(ConnectionError):
        site.plain("/", host="elsewhere.example")
    response = site.request("GET", "/", {"Host": "elsewhere.example"})
    assert_problem(response, 421, "host_not_served")


@pytest.mark.parametrize("path", ["/", "/api/v1/products", "/health/ready", "/nothing/here"])
def test_every_answer_has_the_security_headers(site: Site, path: str) -> None:
    assert_headers(site.get(path))


def test_what_is_not_there_is_said_as_a_problem(site: Site) -> None:
    assert_problem(site.get("/nothing/here"), 404, "not_found")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/debug", "/debug/vars"])
def test_what_is_for_operators_is_not_for_the_public(site: Site, path: str) -> None:
    response = site.get(path)
    assert_problem(response, 404, "not_found")
    assert_headers(response)
    assert "X-Release" not in response.headers, "the service was asked"


def test_a_body_that_is_too_large_is_refused_at_the_edge(site: Site) -> None:
    response = site.request("POST", "/api/v1/products", body=b"x" * (MEBIBYTE + 1))
    assert_problem(response, 413, "body_too_large")
    assert_headers(response)
    assert "X-Release" not in response.headers, "the service was asked"


def test_a_client_that_asks_too_often_is_told_to_wait(site: Site) -> None:
    limited: list[Response] = []
    enough = threading.Event()

    def ask(_number: int) -> None:
        """A connection that is kept: on a busy machine handshakes alone take longer than the limit."""
        connection = http.client.HTTPSConnection(site.address, timeout=PATIENCE, context=site.context())
        with closing(connection):
            for _ in range(500):
                if enough.is_set():
                    return
                connection.request("GET", "/health/live", headers={"Accept-Encoding": "identity"})
                response = connection.getresponse()
                found = Response(response.status, response.headers, response.read())
                if found.status != 200:
                    limited.append(found)
                    enough.set()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    assert limited, "8000 requests, as fast as they went, were all answered"
    assert_problem(limited[0], 429, "too_many_requests")
    assert_headers(limited[0])
    assert limited[0].headers["Retry-After"] == "1"


def test_a_client_that_waited_may_ask_a_hundred_times_at_once_again(site: Site) -> None:
    time.sleep(SECONDS_TO_FORGET)
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda _: site.get("/health/live").status, range(100)))
    assert statuses == {200}


def test_answers_are_compressed_for_who_asks_for_it(site: Site) -> None:
    plain = site.get("/api/v1/products")
    packed = site.get("/api/v1/products", Accept_Encoding="gzip")
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip", packed
    assert "Accept-Encoding" in packed.headers["Vary"], packed
    assert packed.json() == plain.json()


def test_a_request_keeps_its_id_from_the_client_to_the_services_log(host: Host, site: Site) -> None:
    given = f"test-{uuid.uuid4()}"
    response = site.get("/api/v1/products", X_Request_ID=given)
    assert response.headers["X-Request-ID"] == given
    for log in ("/var/log/nginx/access.log", "/var/log/shop/shop.log"):
        line = hosts.until(
            f"the request is in {log}",
            lambda log=log: host.run(f"grep --fixed-strings '{given}' {log}").stdout,  # type: ignore[misc]
            seconds=10,
            show=lambda log=log: host.run(f"tail -n 5 {log}").stdout,  # type: ignore[misc]
        )
        assert json.loads(line)["request_id"] == given


@pytest.mark.parametrize("given", ["two words", "x" * 7, "x" * 65, '"><script>', "ä", "a\tb", ""])
def test_what_is_no_id_is_replaced_by_one(site: Site, given: str) -> None:
    response = site.request("GET", "/api/v1/products", {"X-Request-ID": given})
    assert response.status == 200, response
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"]), response
