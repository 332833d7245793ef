"""Who may import whom, and what nobody may use."""

import ast
import subprocess
import sys

import grimp
import pytest
from importlinter.cli import lint_imports

from conftest import SERVICE
from sources import calls, imported, modules

# What is no business domain: everything else that is a package of `shop` is one.
SHARED = {"core", "settings", "cli", "migrations"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import of the package."""
    return grimp.build_graph("shop", cache_dir=None)


@pytest.fixture(scope="module")
def domains(graph: grimp.ImportGraph) -> set[str]:
    """The business domains."""
    packages = {child for child in graph.find_children("shop") if graph.find_children(child)}
    return {package for package in packages if package.removeprefix("shop.") not in SHARED}


def test_the_contracts_of_imports_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SERVICE)
    assert lint_imports(config_filename=str(SERVICE / "pyproject.toml"), no_cache=True) == 0


# What two domains share beside their services: foreign keys, and the made-up shop that each adds to.
ALIKE = ("models", "demo")


def test_a_domain_knows_of_another_what_its_service_says(graph: grimp.ImportGraph, domains: set[str]) -> None:
    assert {"shop.accounts", "shop.auth", "shop.orders", "shop.products", "shop.users"} <= domains
    strangers = []
    for domain in domains:
        for module in graph.find_descendants(domain) | {domain}:
            for other in graph.find_modules_directly_imported_by(module):
                home = ".".join(other.split(".")[:2])
                allowed = {f"{home}.service"} | {
                    f"{home}.{part}" for part in ALIKE if module == f"{domain}.{part}"
                }
                if home in domains - {domain} and other not in allowed:
                    strangers.append(f"{module} imports {other}")
    assert strangers == []


def test_core_and_settings_know_no_domain(graph: grimp.ImportGraph, domains: set[str]) -> None:
    known = [
        f"{module} imports {other}"
        for package in ("shop.core", "shop.settings")
        for module in graph.find_descendants(package)
        for other in graph.find_modules_directly_imported_by(module)
        if any(other == domain or other.startswith(domain + ".") for domain in domains)
    ]
    assert known == []


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("starlette.middleware.base.BaseHTTPMiddleware", "a pure ASGI middleware"),
        ("fastapi.responses.ORJSONResponse", "a Response of bytes"),
        ("sqlalchemy.orm.Session", "a connection of core.transactions"),
        ("pickle", "JSON"),
        ("requests", "httpx2"),
    ],
)
def test_what_nobody_imports(name: str, instead: str) -> None:
    used = [
        str(path)
        for path, tree in modules()
        if any(module == name or module.startswith(name + ".") for module in imported(tree))
    ]
    assert used == [], f"use {instead}"


@pytest.mark.parametrize(
    "name", ["utcnow", "utcfromtimestamp", "middleware", "on_event", "create_all", "run_until_complete"]
)
def test_what_nobody_calls(name: str) -> None:
    callers = [str(path) for path, tree in modules() if name in calls(tree) and str(path) != "shop/main.py"]
    assert callers == []


def test_every_now_has_a_zone() -> None:
    naive = []
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                text = ast.unparse(node.func)
                if text in ("datetime.now", "datetime.datetime.now", "datetime.fromtimestamp"):
                    given = [*node.args, *(word.value for word in node.keywords)]
                    naive += [] if given and "utc" in ast.unparse(node).lower() else [f"{path}:{node.lineno}"]
    assert naive == []


def test_no_decision_rests_on_an_address_the_caller_can_forge() -> None:
    # The Host header is part of request.url; scope["path"] is not.
    used = [
        f"{path}:{node.lineno}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("request.url", "request.base_url")
    ]
    assert used == []


def test_no_module_grows_beyond_what_one_can_see() -> None:
    lengths = {str(path): len((SERVICE / path).read_text().splitlines()) for path, _ in modules()}
    assert {path: length for path, length in lengths.items() if length > 250} == {}


def test_a_worker_starts_without_what_only_some_need() -> None:
    """Each is a tenth or a twentieth of it: Redis where there is none, Alembic where nobody migrates."""
    asking = "import sys, shop.main; print(sorted({'alembic', 'redis', 'sentry_sdk'} & sys.modules.keys()))"

    done = subprocess.run(
        [sys.executable, "-c", asking], cwd=SERVICE, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
