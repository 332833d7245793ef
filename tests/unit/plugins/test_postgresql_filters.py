"""The filters turn a host's size into settings, and a fleet's size into a number of connections."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.unit.plugins.test_postgresql_harness import BINARIES, REPOSITORY, Postgres, run_as_owner

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]

PATH = REPOSITORY / "plugins" / "filter" / "postgresql_settings.py"
SPEC = importlib.util.spec_from_file_location("postgresql_settings", PATH)
assert SPEC is not None
assert SPEC.loader is not None
PLUGIN = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PLUGIN)
FILTERS = PLUGIN.FilterModule().filters()
settings, quote, budget = (
    FILTERS[name] for name in ("postgresql_settings", "postgresql_quote_conf", "connection_budget")
)

# Memory as a host reports it, and the settings of the table of formulas for it.
SIZES = [
    pytest.param(3920, 2, 100, 0.5, "448MB", "1344MB", "112MB", "4MB", id="4 GB, beside the app"),
    pytest.param(7950, 4, 100, 1.0, "1792MB", "5376MB", "448MB", "17MB", id="8 GB, alone"),
    pytest.param(64000, 16, 200, 1.0, "14GB", "42GB", "2GB", "66MB", id="64 GB, alone"),
    pytest.param(985, 1, 60, 0.5, "112MB", "336MB", "28MB", "4MB", id="1 GB, beside the app"),
]


@pytest.mark.parametrize(
    ("memory", "cores", "connections", "share", "buffers", "cache", "maintenance", "work"), SIZES
)
def test_memory_settings_follow_the_formulas(
    memory: int,
    cores: int,
    connections: int,
    share: float,
    buffers: str,
    cache: str,
    maintenance: str,
    work: str,
) -> None:
    result = settings(memory, cores, connections, share)
    assert result["shared_buffers"] == buffers
    assert result["effective_cache_size"] == cache
    assert result["maintenance_work_mem"] == maintenance
    assert result["work_mem"] == work
    assert result["huge_pages"] == "try"
    assert result["max_connections"] == connections


@pytest.mark.parametrize("nominal_gigabytes", [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256])
def test_a_few_megabytes_more_or_less_change_nothing(nominal_gigabytes: int) -> None:
    reported = int(nominal_gigabytes * 1024 * 0.965)
    results = [settings(reported + jitter, 4) for jitter in range(-12, 13)]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("cores", "workers", "a_gather"), [(2, None, None), (4, 4, 2), (6, 6, 3), (16, 16, 4)]
)
def test_parallel_workers_follow_the_cores_from_four_on(
    cores: int, workers: int | None, a_gather: int | None
) -> None:
    result = settings(8000, cores)
    assert result.get("max_worker_processes") == result.get("max_parallel_workers") == workers
    assert result.get("max_parallel_workers_per_gather") == a_gather
    assert result.get("max_parallel_maintenance_workers") == a_gather


@pytest.mark.parametrize(
    ("storage", "cost", "concurrency"),
    [("hdd", 4.0, 2), ("ssd", 1.1, 200), ("san", 1.1, 300), ("nvme", 1.1, 1000)],
)
def test_storage_sets_what_a_random_page_costs(storage: str, cost: float, concurrency: int) -> None:
    result = settings(8000, 4, storage=storage)
    assert (result["random_page_cost"], result["effective_io_concurrency"]) == (cost, concurrency)


def test_profiles_differ_in_wal() -> None:
    assert settings(8000, 4)["max_wal_size"] == "4GB"
    assert settings(8000, 4, profile="oltp")["max_wal_size"] == "8GB"


def test_overrides_win_and_unknown_names_pass() -> None:
    result = settings(8000, 4, overrides={"work_mem": "1GB", "auto_explain.log_min_duration": "10s"})
    assert result["work_mem"] == "1GB"
    assert result["auto_explain.log_min_duration"] == "10s"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"memory_mb": "8000"}, "memory_mb must be a whole number of 256 or more, not '8000'"),
        ({"memory_mb": 128}, "memory_mb must be"),
        ({"cores": 0}, "cores must be a whole number of 1 or more, not 0"),
        ({"cores": True}, "cores must be"),
        ({"memory_share": 1.5}, "memory_share must be above 0 and at most 1, not 1.5"),
        ({"storage": "tape"}, "storage must be one of hdd, ssd, san, nvme, not 'tape'"),
        ({"profile": "dw"}, "profile must be one of web, oltp"),
        ({"overrides": ["a"]}, "overrides must be a dictionary"),
    ],
)
def test_a_wrong_argument_is_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AnsibleFilterError, match=sentence):
        settings(**({"memory_mb": 8000, "cores": 4} | arguments))


@pytest.mark.parametrize("memory", [512, 3920, 64000, 2_000_000])
def test_the_server_itself_accepts_every_setting(initialized_cluster: Any, memory: int) -> None:
    for storage in PLUGIN.STORAGE:
        options = [f"{name}={value}" for name, value in settings(memory, 64, storage=storage).items()]
        flags = [flag for option in options for flag in ("-c", option)]
        run_as_owner(BINARIES / "postgres", "-D", initialized_cluster, "-C", "shared_buffers", *flags)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "on"),
        (5, "5"),
        (1.1, "1.1"),
        ("256MB", "'256MB'"),
        ("it's", "'it''s'"),
        ("a\\b", "'a\\\\b'"),
        (["a", "b"], "'a, b'"),
        ("", "''"),
        ("# no comment", "'# no comment'"),
    ],
)
def test_a_value_is_written_for_a_conf_file(value: Any, written: str) -> None:
    assert quote(value) == written


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", None, {"a": 1}])
def test_a_value_that_is_not_one_line_of_text_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="A PostgreSQL setting is"):
        quote(value)


def test_the_server_reads_back_what_was_quoted(postgres: Postgres) -> None:
    value = 'it\'s a \\n "test" # of $all'
    with (postgres.data / "postgresql.conf").open("a") as conf:
        conf.write(f"test.value = {quote(value)}\n")
    postgres.sql("SELECT pg_reload_conf()")
    postgres.stop()
    postgres.start()
    assert postgres.sql("SELECT current_setting('test.value')") == [(value,)]


def test_a_budget_that_fits_says_what_is_left() -> None:
    result = budget(2, workers=2, pool_size=5, max_overflow=2, max_connections=100)
    assert (result["needed"], result["available"], result["fits"]) == (66, 97, True)
    # (97 - 10) / (2 hosts x 2 releases), whole connections.
    assert result["per_release"] == 21
    assert result["sentence"] == (
        "2 app hosts x 2 live releases x 2 workers x (5 pool + 2 overflow) + 10 for admins need 66 connections; "
        "max_connections 100 less 3 reserved for superusers leaves 97: 31 to spare."
    )


def test_a_budget_that_does_not_fit_says_what_would() -> None:
    result = budget(4, workers=2, pool_size=5, max_overflow=2, max_connections=100)
    assert (result["needed"], result["fits"]) == (122, False)
    assert result["sentence"].endswith(
        "leaves 97: raise max_connections to 125 or more, or use smaller pools or fewer workers."
    )
    assert budget(4, workers=2, pool_size=5, max_overflow=2, max_connections=125)["fits"]


def test_a_budget_of_nonsense_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="workers must be a whole number"):
        budget(2, workers=0, pool_size=5, max_overflow=2, max_connections=100)


def test_ansible_finds_the_filters_in_a_template() -> None:
    from ansible.plugins.loader import filter_loader

    filter_loader.add_directory(str(PATH.parent))
    variables = {"hosts": ["a", "b"]}
    expression = (
        "{{ (hosts | length | connection_budget(2, 5, 2, 100)).needed }} {{ 'a' | postgresql_quote_conf }}"
    )
    text = Templar(loader=DataLoader(), variables=variables).template(trust_as_template(expression))
    assert text == "66 'a'"
