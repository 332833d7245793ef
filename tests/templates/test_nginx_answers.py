"""The rendered sites, served by each platform's own nginx: maintenance and draining, without a reload."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.templates import checkers
from tests.templates.conftest import RELEASE, Trees
from tests.templates.rendering import SUITES
from tests.unit.slipway import support

from slipway.cli import main  # isort: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks the platforms' own nginx")

SERVER = Path(support.__file__).with_name("slipway_fake_server.py")
# The site of a host that is edge and app at once, and that of an app host behind an edge.
SITES = {"by socket": ("lab", "shop.conf"), "behind the edge": ("fleet", "shop-private.conf")}


@dataclass(frozen=True)
class Site:
    """A running nginx. host: the layout slipway works on beside it; behind_edge: the site is an app host's."""

    host: support.Host
    socket: Path
    behind_edge: bool

    def connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("shop.test")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(10)
        connection.sock.connect(str(self.socket))
        return connection

    def ask(self, method: str = "GET", path: str = "/") -> tuple[http.client.HTTPResponse, bytes]:
        connection = self.connection()
        connection.request(
            method, path, b"x" * 2000 if method == "POST" else None, {"X-Request-ID": "asked-once"}
        )
        answer = connection.getresponse()
        return answer, answer.read()


def moved(text: str, tree: Path, folder: Path) -> str:
    """A rendered file, with the host's paths below folder and one plain socket in place of its ports."""
    for path in ("/srv/shop", "/run/slipway/shop"):
        text = text.replace(path, f"{folder}/host{path}")
    text = text.replace("/etc/ssl/slipway/public.pem", str(folder / "public.pem"))
    text = text.replace("/etc/nginx/conf.d/*.conf", str(folder / "site.conf"))
    text = text.replace("/etc/nginx/", f"{tree}/etc/nginx/").replace("/var/log/nginx", str(folder))
    text = text.replace("/run/nginx.pid", str(folder / "pid")).replace("user www-data;", "user root;")
    # A release that does not answer is given up after a second.
    proxy = (tree / "etc/nginx/snippets/shop-proxy.conf").read_text()
    proxy = re.sub(r"proxy_read_timeout \d+s", "proxy_read_timeout 1s", proxy)
    text = text.replace("include snippets/shop-proxy.conf;", proxy)
    text = re.sub(r"include (snippets/\S+);", rf"include {tree}/etc/nginx/\1;", text)
    return re.sub(
        r"^ *(ssl_(?!certificate\S* \$)\S+ .*|include \S*slipway-tls.conf|set_real_ip_from .*);\n",
        "",
        text,
        flags=re.M,
    )


def site_of(text: str, folder: Path) -> str:
    """The server that passes requests to the release, listening on a socket, with the edge's address let in."""
    head, *servers = re.split(r"^(?=server \{$)", text, flags=re.M)
    passing = next(server for server in servers if "proxy_pass" in server)
    passing = re.sub(r"^ *listen .*;\n", "", passing, flags=re.M)
    pair = f"    ssl_certificate {folder}/public.pem;\n    ssl_certificate_key {folder}/public.pem;\n"
    passing = passing.replace(
        "server {\n",
        f"server {{\n    listen unix:{folder}/site.sock;\n    listen unix:{folder}/tls.sock ssl;\n"
        + ("" if "ssl_certificate $" in passing else pair),
        1,
    )
    strangers = [server for server in servers if "return 421" in server]
    strange = re.sub(r"^ *listen .*;\n", "", "".join(strangers), flags=re.M)
    strange = strange.replace("server {\n", f"server {{\n    listen unix:{folder}/strangers.sock;\n", 1)
    # After few requests there are too many of them.
    head, passing = re.sub(r"rate=\d+", "rate=1", head), re.sub(r"burst=\d+", "burst=20", passing)
    return re.sub(r"default 0;", "default 1;", head) + passing + strange


def buffers_below(folder: Path) -> str:
    """Directives for bodies that nginx keeps in files: the compiled-in folders are those of an installed package."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)


def certify(folder: Path) -> None:
    """A new certificate of the public name and its key, in one file that takes the place of the one before."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-keyout", str(folder / "site.key"), "-out", str(folder / "site.pem")]
    subprocess.run([*made, *files, "-subj", "/CN=shop.test"], check=True, capture_output=True)
    new = folder / "public.pem.new"
    new.write_bytes((folder / "site.pem").read_bytes() + (folder / "site.key").read_bytes())
    new.rename(folder / "public.pem")


def nginx_of(suite: str) -> list[str]:
    """The command that runs a suite's own nginx with the suite's own libraries."""
    root = checkers.root(suite)
    libraries = [str(path) for path in (root / "lib/x86_64-linux-gnu", root / "usr/lib/x86_64-linux-gnu")]
    loader = next(root.glob("usr/lib/x86_64-linux-gnu/ld-linux*.so*"), None) or next(
        root.glob("lib64/ld-linux*")
    )
    return [str(loader), "--library-path", ":".join(libraries), str(root / "usr/sbin/nginx")]


@pytest.fixture(params=[(name, platform) for name in SITES for platform in SUITES], ids=" on ".join)
def site(request: pytest.FixtureRequest, trees: Trees) -> Iterator[Site]:
    name, platform = request.param
    if reason := checkers.unavailable(SUITES[platform]):
        pytest.skip(reason)
    inventory, config = SITES[name]
    tree = next(
        tree.root
        for tree in trees.of(f"{inventory}-{platform}")
        if tree.has(f"etc/nginx/conf.d/{config}")
        and "/srv/shop/current" in tree.text(f"etc/nginx/conf.d/{config}")
    )  # fmt: skip
    with running(tree, config, platform, name == "behind the edge") as found:
        yield found


@contextmanager
def running(tree: Path, config: str, platform: str, behind_edge: bool = False) -> Iterator[Site]:
    """The site of a rendered host, with a release behind it."""
    folder = Path(tempfile.mkdtemp(prefix="sw"))
    host = support.make_host(folder)
    rendered = (tree / "etc/nginx/conf.d" / config).read_text()
    (folder / "site.conf").write_text(site_of(moved(rendered, tree, folder), folder))
    main_file = moved((tree / "etc/nginx/nginx.conf").read_text(), tree, folder)
    main_file = re.sub(r"^.*(modules-enabled|mime\.types).*\n", "", main_file, flags=re.M)
    (folder / "nginx.conf").write_text(main_file.replace("http {\n", f"http {{\n{buffers_below(folder)}", 1))
    certify(folder)
    (folder / "empty").touch()
    support.install_release(host, RELEASE)
    (host.root / "srv/shop/current").symlink_to(f"releases/{RELEASE}")
    server = subprocess.Popen(
        ["python3", "-IS", SERVER, str(host.runtime_socket(RELEASE)), RELEASE, "ready"],
        stdout=subprocess.DEVNULL,
    )
    nginx = subprocess.Popen(
        [
            *nginx_of(SUITES[platform]),
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-g",
            "daemon off;",
        ]
    )
    found = Site(host, folder / "site.sock", behind_edge)

    def serves() -> bool:
        assert nginx.poll() is None, f"nginx of {platform} did not start: what it said is above"
        return found.socket.exists() and host.runtime_socket(RELEASE).exists()

    wait_for(serves)
    yield found
    for process in (nginx, server):
        process.terminate()
        process.wait(30)
    shutil.rmtree(folder)


def wait_for(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def test_maintenance_answers_for_the_service_and_health_tells_the_truth(site: Site) -> None:
    assert site.ask(path="/health/ready")[0].status == 200
    message = 'Back at 5 <!--# echo var="document_root" --> "sharp"'

    assert main(["maintenance", "on", "--message", message], site.host) == 0

    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer, body = site.ask(method, "/products")
        problem = json.loads(body)
        assert (answer.status, answer.getheader("Retry-After")) == (503, "60"), (method, body)
        assert (problem["title"], problem["detail"], problem["instance"], problem["details"]) == (
            "Service Unavailable", message, "/products", None
        )  # fmt: skip
        assert answer.getheader("Content-Type") == "application/problem+json"
        assert (problem["code"], problem["message"], problem["request_id"]) == (
            "maintenance",
            message,
            "asked-once",
        )
    assert answer.getheader("X-Content-Type-Options") == (None if site.behind_edge else "nosniff")
    assert site.ask(path="/health/ready")[0].status == 200
    assert site.ask(path="/slipway-maintenance")[0].status != 200

    assert main(["maintenance", "off"], site.host) == 0
    assert site.ask(path="/health/ready")[0].status == 200
    assert site.ask(path="/products")[0].getheader("X-Release") == RELEASE


def test_a_drained_app_host_answers_and_closes_its_connections(site: Site) -> None:
    if not site.behind_edge:
        assert "drained" not in (site.socket.parent / "site.conf").read_text()
        return
    connection = site.connection()

    def ask(method: str) -> http.client.HTTPResponse:
        connection.request(method, "/health/ready", b"x" * 2000 if method == "POST" else None)
        answer = connection.getresponse()
        answer.read()
        return answer

    assert ask("GET").getheader("Connection") == "keep-alive"
    site.host.drained.write_text("{}")

    assert ask("GET").getheader("Connection") == "close"

    posted, body = site.ask("POST", "/orders")
    assert (posted.getheader("X-Release"), posted.getheader("Connection")) == (RELEASE, "close"), body
    site.host.drained.unlink()
    assert site.ask()[0].getheader("Connection") == "keep-alive"


def said(site: Site, request: bytes, name: str = "site.sock") -> tuple[int, dict[str, str], bytes]:
    """What nginx answers to these bytes: the status, the headers by lower-case name, the body."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(str(site.socket.with_name(name)))
    with connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        headers = {key.lower(): value for key, value in answer.getheaders()}
        return answer.status, headers, answer.read()


def asking(line: bytes, *headers: bytes) -> bytes:
    every = (line, b"Host: shop.test", b"X-Request-ID: asked-once", *headers)
    return b"\r\n".join((*every, b"", b""))


def assert_problem(answer: tuple[int, dict[str, str], bytes], status: int, code: str, instance: str) -> None:
    """The body has the shape of the service's own (shop.core.errors.Problem)."""
    found, headers, body = answer
    assert found == status, (headers, body)
    assert headers["content-type"] == "application/problem+json", (headers, body)
    problem = json.loads(body)
    assert set(problem) == {
        "type", "title", "status", "detail", "instance", "code", "message", "details", "request_id"
    }  # fmt: skip
    assert (problem["type"], problem["title"]) == ("about:blank", HTTPStatus(status).phrase)
    assert (problem["status"], problem["code"], problem["instance"]) == (status, code, instance)
    assert problem["detail"] == problem["message"] != ""
    assert problem["details"] is None
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", problem["request_id"])
    wanted = "1" if status in (429, 502, 503, 504) else None
    assert headers.get("retry-after") == wanted


REFUSED = {
    "no request": (b"GARBAGE\r\n\r\n", 400, "bad_request", ""),
    "no host": (b"GET /a HTTP/1.1\r\n\r\n", 400, "bad_request", "/a"),
    "a bad header": (asking(b"POST /a HTTP/1.1", b"Content-Length: x"), 400, "bad_request", "/a"),
    "a body with two ends": (
        asking(b"POST /a HTTP/1.1", b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400, "bad_request", "/a",
    ),
    "trace": (asking(b"TRACE /a?b HTTP/1.1"), 405, "method_not_allowed", "/a"),
    "a large body": (asking(b"POST /a/b HTTP/1.1", b"Content-Length: 99999999"), 413, "body_too_large", "/a/b"),
    "a long address": (asking(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414, "uri_too_long", ""),
    "a long header": (asking(b"GET /a HTTP/1.1", b"X-Long: " + b"a" * 9000), 431, "headers_too_large", "/a"),
    "an unknown encoding": (
        asking(b"POST /a HTTP/1.1", b"Transfer-Encoding: odd"), 501, "not_implemented", "/a"
    ),
    "another version": (asking(b"GET /a HTTP/9.1"), 505, "http_version_not_supported", ""),
}  # fmt: skip


def test_what_nginx_refuses_itself_has_the_shape_of_the_services_own(site: Site) -> None:
    for request, status, code, instance in REFUSED.values():
        assert_problem(said(site, request), status, code, instance)
    assert_problem(said(site, asking(b"GET /a HTTP/1.1"), "tls.sock"), 400, "bad_request", "/a")
    # The service's own refusals pass as they are.
    assert said(site, asking(b"GET /health/none HTTP/1.1"))[1]["x-release"] == RELEASE


@pytest.mark.parametrize(
    "ends",
    [
        (b"Content-Length: %d", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: %d"),
    ],
)
def test_no_request_hides_in_another_ones_body(site: Site, ends: tuple[bytes, bytes]) -> None:
    body = b"0\r\n\r\n" + asking(b"GET /hidden HTTP/1.1")
    headers = [end % len(body) if b"%" in end else end for end in ends]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(str(site.socket))
    with connection:
        connection.sendall(asking(b"POST /a HTTP/1.1", *headers) + body)
        answers = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answers.count(b"HTTP/1.1 ") == 1, answers
    assert answers.startswith(b"HTTP/1.1 400 ")


# What is asked for, and what the answer says was asked for: an address as a URI may be, or nothing.
ADDRESSES = {
    b"/metrics": "/metrics",
    b"/metrics/a%22b%5c?c=d": "/metrics/a%22b%5c",
    b'/metrics/a"b\\': "",
    b"/metrics/\xff\xfe": "",
    b"/metrics/<script>": "",
    b"//metrics/~user;v=1,2!$&'()*+:@": "//metrics/~user;v=1,2!$&'()*+:@",
}


def test_a_problem_is_json_whatever_the_address(site: Site) -> None:
    problem = (404, "not_found")
    if site.behind_edge:
        site.host.runtime_socket(RELEASE).unlink()
        problem = (502, "service_unreachable")
    for path, instance in ADDRESSES.items():
        assert_problem(said(site, asking(b"GET " + path + b" HTTP/1.1")), *problem, instance)


def test_a_service_that_is_away_or_hangs_is_told_as_a_problem(site: Site) -> None:
    site.host.runtime_socket(RELEASE).unlink()
    assert_problem(said(site, asking(b"GET /a HTTP/1.1")), 502, "service_unreachable", "/a")
    hanging = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with hanging:
        hanging.bind(str(site.host.runtime_socket(RELEASE)))
        hanging.listen()
        assert_problem(said(site, asking(b"GET /a HTTP/1.1")), 504, "service_timeout", "/a")


def test_too_many_requests_and_a_name_nobody_serves_are_problems(site: Site) -> None:
    if site.behind_edge:
        assert "limit_req" not in (site.socket.parent / "site.conf").read_text()
        return
    request = asking(b"GET /a HTTP/1.1")
    answers = [said(site, request) for _ in range(30)]
    refused = [answer for answer in answers if answer[0] != 200]
    assert refused
    for answer in refused:
        assert_problem(answer, 429, "too_many_requests", "/a")
    assert_problem(said(site, request, "strangers.sock"), 421, "host_not_served", "/a")
    assert_problem(said(site, b"GARBAGE\r\n\r\n", "strangers.sock"), 400, "bad_request", "")


@pytest.mark.parametrize("platform", SUITES)
def test_a_websocket_is_passed_on_where_it_is_wanted_and_nothing_else_is_switched_to(
    trees: Trees, platform: str
) -> None:
    if reason := checkers.unavailable(SUITES[platform]):
        pytest.skip(reason)
    asked = {"websocket": 101, "WebSocket": 101, "h2c": 200, "websocket, h2c": 200}
    for case, expected in (
        (f"lab-{platform}-everything", asked),
        (f"lab-{platform}", dict.fromkeys(asked, 200)),
    ):
        with running(trees[case, "shop-1"].root, "shop.conf", platform) as site:
            found = {}
            for protocol in asked:
                connection = site.connection()
                connection.request("GET", "/live", headers={"Upgrade": protocol, "Connection": "Upgrade"})
                found[protocol] = connection.getresponse().status
                connection.close()
        assert found == expected, case


def test_an_address_without_a_slash_at_its_end_is_the_services(site: Site) -> None:
    assert site.ask(path="/health")[0].status == 200


@pytest.mark.parametrize("platform", SUITES)
def test_so_is_one_whose_paths_below_take_larger_bodies(trees: Trees, platform: str) -> None:
    if reason := checkers.unavailable(SUITES[platform]):
        pytest.skip(reason)
    with running(trees[f"lab-{platform}-everything", "shop-1"].root, "shop.conf", platform) as site:
        assert site.ask(path="/uploads")[0].status == 200
