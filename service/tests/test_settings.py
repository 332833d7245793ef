"""Settings: what is refused, in which words, and that no secret is repeated."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from conftest import RELEASE, SECRET_KEY, SERVICE, Database, run_shop
from shop import cli
from shop.core.configuration import ConfigurationError, load_settings
from shop.settings import PREFIX, SECRETS, MigrationSettings, Settings

VALID = {"SHOP_ENVIRONMENT": "production", "SHOP_RELEASE": RELEASE}


class Process:
    """What a process would be started with: variables and credential files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, credentials: Path) -> None:
        self.monkeypatch = monkeypatch
        self.credentials = credentials
        self.monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
        self.credential("secret_key", SECRET_KEY)
        self.environ(VALID)

    def environ(self, variables: dict[str, str]) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def credential(self, name: str, value: str) -> None:
        (self.credentials / name).write_text(value)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Process:
    return Process(monkeypatch, tmp_path)


def refusal(model: type[MigrationSettings] = Settings) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(model)
    return refused.value.sentences


@pytest.mark.usefixtures("process")
def test_the_defaults_fit_a_host_with_its_own_database() -> None:
    settings = load_settings(Settings)
    assert settings.database_host == "/var/run/postgresql"
    assert settings.database_is_local
    assert (settings.database_user, settings.migrate_database_user) == ("shop", "shop_migrate")
    assert settings.connections == 2 * (10 + 5)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SHOP_ENVIRONMENT", "prod"),
        ("SHOP_ENVIRONMENT", ""),
        ("SHOP_RELEASE", "a\nb"),
        ("SHOP_RELEASE", "r" * 59),
        ("SHOP_DATABASE_HOST", ""),
        ("SHOP_DATABASE_HOST", "db host"),
        ("SHOP_DATABASE_HOST", "/" + "d" * 91),
        ("SHOP_DATABASE_PORT", "0"),
        ("SHOP_DATABASE_PORT", "65536"),
        ("SHOP_DATABASE_PORT", "postgres"),
        ("SHOP_DATABASE_NAME", "Shop"),
        ("SHOP_DATABASE_NAME", ""),
        ("SHOP_DATABASE_USER", "shop; DROP ROLE shop"),
        ("SHOP_DATABASE_CA", "/nonexistent/ca.pem"),
        ("SHOP_DATABASE_CA", "ca.pem"),
        ("SHOP_DATABASE_CA", "/etc/passwd"),
        ("SHOP_DATABASE_POOL_SIZE", "0"),
        ("SHOP_DATABASE_MAX_OVERFLOW", "-1"),
        ("SHOP_DATABASE_POOL_TIMEOUT", "0"),
        ("SHOP_DATABASE_POOL_TIMEOUT", "nan"),
        ("SHOP_DATABASE_POOL_TIMEOUT", "31"),
        ("SHOP_DATABASE_STATEMENT_TIMEOUT", "5s"),
        ("SHOP_DATABASE_STATEMENT_TIMEOUT", "99"),
        ("SHOP_WORKERS", "0"),
        ("SHOP_WORKERS", "1.5"),
        ("SHOP_DATABASE_CONNECTION_BUDGET", "0"),
        ("SHOP_DATABASE_CONNECTION_BUDGET", "10001"),
        ("SHOP_ALLOWED_HOSTS", ""),
        ("SHOP_ALLOWED_HOSTS", "https://shop.example.net"),
        ("SHOP_ALLOWED_HOSTS", "shop.example.net,shop.example.net:8443"),
        ("SHOP_ALLOWED_HOSTS", "*shop.example.net"),
        ("SHOP_CORS_ORIGINS", "null"),
        ("SHOP_CORS_ORIGINS", "shop.example.net"),
        ("SHOP_CORS_ORIGINS", "https://shop.example.net/"),
        ("SHOP_CORS_CREDENTIALS", "perhaps"),
        ("SHOP_MAX_BODY_BYTES", "1023"),
        ("SHOP_ACCESS_TOKEN_MINUTES", "0"),
        ("SHOP_REFRESH_TOKEN_DAYS", "91"),
        ("SHOP_TOKEN_ISSUER", ""),
        ("SHOP_TOKEN_AUDIENCE", "two words"),
        ("SHOP_REGISTRATION", "closed"),
        ("SHOP_LOGIN_ATTEMPTS_PER_MINUTE", "0"),
        ("SHOP_PASSWORD_MEMORY_KIB", "7"),
        ("SHOP_PASSWORD_ITERATIONS", "0"),
        ("SHOP_REDIS_URL", "redis://:word@localhost:6379/0"),
        ("SHOP_REDIS_POOL_SIZE", "0"),
        ("SHOP_METRICS_ADDRESS", "0.0.0.0:9100"),
        ("SHOP_LOOP_LAG_WARNING_MS", "0"),
        ("SHOP_OTEL_ENDPOINT", "collector:4318"),
        ("SHOP_OTEL_ENDPOINT", "https://user:word@collector:4318"),
        ("SHOP_LOG_LEVEL", "loud"),
        ("SHOP_MIGRATE_DATABASE_USER", ""),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_sentence(
    process: Process, variable: str, value: str
) -> None:
    process.environ({variable: value})
    (sentence,) = refusal()
    field = variable.removeprefix(PREFIX).lower()
    rule = next(
        filter(None, (each.model_fields[field].description for each in (Settings, MigrationSettings)))
    )
    assert sentence == f"{variable} is {value!r}: it must be {rule}."


def test_every_fault_is_told_at_once(process: Process) -> None:
    process.environ({"SHOP_WORKERS": "none", "SHOP_DATABASE_PORT": "none", "SHOP_REDIS_PASSWORD": "blue"})
    sentences = refusal()
    assert [sentence.split()[0] for sentence in sentences] == [
        "SHOP_REDIS_PASSWORD",
        "SHOP_DATABASE_PORT",
        "SHOP_WORKERS",
    ]


def test_a_variable_this_release_does_not_know_is_told_and_not_repeated(
    process: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    process.environ({"SHOP_SETTING_OF_A_LATER_RELEASE": "blue", "SHOP_DATABSE_PORT": "5432"})
    assert cli.main(["check-config"]) == 0
    output = capsys.readouterr().out
    assert json.loads(output)["unknown"] == ["SHOP_DATABSE_PORT", "SHOP_SETTING_OF_A_LATER_RELEASE"]
    assert "blue" not in output


@pytest.mark.parametrize(
    ("workers", "budget", "fits"),
    [("2", "30", True), ("2", "", True), ("2", "29", False), ("3", "30", False)],
)
def test_more_connections_than_the_budget_are_refused(
    process: Process, workers: str, budget: str, fits: bool
) -> None:
    process.environ({"SHOP_WORKERS": workers, "SHOP_DATABASE_CONNECTION_BUDGET": budget})
    if fits:
        assert load_settings(Settings).connections == 30
        return
    (sentence,) = refusal()
    assert sentence.startswith(f"SHOP_DATABASE_CONNECTION_BUDGET is {budget}, and SHOP_WORKERS x (")
    assert f"is {workers} x (10 + 5) = {int(workers) * 15} connections" in sentence


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_the_environment_is_refused_and_not_repeated(process: Process, secret: str) -> None:
    variable = PREFIX + secret.upper()
    process.environ({variable: "correct horse battery staple and more"})
    (sentence,) = refusal()
    assert sentence.startswith(f"{variable} is set in the environment")
    assert "horse" not in sentence


def test_a_missing_secret_key_is_named(process: Process) -> None:
    (process.credentials / "secret_key").unlink()
    (sentence,) = refusal()
    assert sentence.startswith("The credential secret_key is not set")
    assert load_settings(MigrationSettings).migrate_database_user == "shop_migrate"


@pytest.mark.parametrize("environment", ["lab", "test", "staging", "production"])
def test_a_short_secret_key_is_refused_everywhere(process: Process, environment: str) -> None:
    process.environ({"SHOP_ENVIRONMENT": environment})
    process.credential("secret_key", SECRET_KEY[:31])
    (sentence,) = refusal()
    assert sentence.startswith("The credential secret_key cannot be used: it must be at least 32")
    assert SECRET_KEY[:31] not in sentence


@pytest.mark.parametrize(
    "key",
    [
        "changeme" * 4,
        "secret-secret-secret-secret-secret",
        "0" * 40,
        "abcabcabc" * 5,
        "CHANGE_ME_please_7Jx2mVd9RkT4wZb8NcY5",
        "this-is-an-example-7Jx2mVd9RkT4wZb8N",
    ],
)
def test_a_placeholder_key_is_refused_where_it_matters(process: Process, key: str) -> None:
    process.credential("secret_key", key)
    for environment in ("staging", "production"):
        process.environ({"SHOP_ENVIRONMENT": environment})
        (sentence,) = refusal()
        assert "looks like a placeholder" in sentence
        assert key not in sentence
    process.environ({"SHOP_ENVIRONMENT": "lab"})
    load_settings(Settings)


def test_a_remote_database_needs_tls_and_a_password(process: Process, tmp_path: Path) -> None:
    process.environ({"SHOP_DATABASE_HOST": "db.example.net"})
    (sentence,) = refusal()
    assert sentence.startswith("SHOP_DATABASE_CA is not set and SHOP_DATABASE_HOST is the host name")
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    process.environ({"SHOP_DATABASE_CA": str(authority)})
    (sentence,) = refusal()
    assert sentence.startswith("The credential database_password is not set")
    process.credential("database_password", "scram")
    load_settings(Settings)
    (sentence,) = refusal(MigrationSettings)
    assert sentence.startswith("The credential migrate_database_password is not set")


def test_a_variable_that_is_missing_is_named_with_what_it_must_be(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_ENVIRONMENT")
    (sentence,) = refusal()
    assert sentence == (
        "SHOP_ENVIRONMENT is not set: it must be one of development, lab, test, staging, production."
    )


def test_credentials_that_cannot_be_read_are_told(process: Process) -> None:
    (process.credentials / "secret_key").write_bytes(b"\xff" * 40)
    assert "cannot be read: secret_key is no UTF-8 text." in refusal()[0]
    process.environ({"CREDENTIALS_DIRECTORY": "/nonexistent"})
    assert "CREDENTIALS_DIRECTORY is '/nonexistent'" in refusal()[0]


@pytest.mark.usefixtures("process")
def test_settings_do_not_change_and_do_not_show_secrets() -> None:
    settings = load_settings(Settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 3  # type: ignore[misc]
    assert SECRET_KEY not in repr(settings)


def test_check_config_shows_what_is_in_force(process: Process, capsys: pytest.CaptureFixture[str]) -> None:
    process.environ({"SHOP_WORKERS": "3", "SHOP_DATABASE_OWNER": ""})
    assert cli.main(["check-config"]) == 0
    output = capsys.readouterr().out
    shown = json.loads(output)
    assert shown["workers"] == 3
    assert shown["connections"] == 45
    assert shown["allowed_hosts"] == ["*"]
    assert shown["unknown"] == []
    assert "database_owner" not in shown
    assert shown["secret_key"] == "set"
    assert shown["database_password"] == "not set"
    assert SECRET_KEY not in output


def test_a_refused_configuration_exits_78_without_a_traceback(database: Database, tmp_path: Path) -> None:
    environ = database.environ(tmp_path, SHOP_WORKERS="many", SHOP_LOG_LEVEL="loud")
    done = run_shop("check-config", environ)
    assert done.returncode == 78, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["SHOP_WORKERS", "SHOP_LOG_LEVEL"], done.stderr


def test_a_migration_with_settings_that_cannot_be_says_so_and_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    done = run_shop("migrate", database.environ(tmp_path, SHOP_LOG_LEVEL="loud"))
    assert (done.returncode, done.stdout) == (1, "")
    sentence = done.stderr.splitlines()[-1]
    assert "did not start, nothing is changed: its env.py failed. ConfigurationError" in sentence
    assert "SHOP_LOG_LEVEL is 'loud'" in sentence
    done = run_shop("migrate", database.environ(tmp_path, SHOP_DATABASE_OWNER="shop owner"))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("SHOP_DATABASE_OWNER is 'shop owner': it must be a PostgreSQL name")


def as_written(default: object) -> str:
    """A default as an operator would write it into the environment file."""
    if default is None:
        return "not set"
    if isinstance(default, tuple):
        default = ",".join(default)
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`" if default != "" else "empty"


def test_the_readme_lists_every_setting_with_its_default() -> None:
    readme = (SERVICE / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Za-z_]+)` \| ([^|]*) \|", readme, flags=re.MULTILINE))
    expected = {}
    for name, field in Settings.model_fields.items():
        shown = "required" if field.is_required() else as_written(field.get_default())
        expected[name if name in SECRETS else PREFIX + name.upper()] = shown
    assert rows == expected


def test_the_check_before_each_start_imports_no_more_than_the_settings_need() -> None:
    heavy = "alembic", "asyncpg", "fastapi", "prometheus_client", "redis", "sqlalchemy", "starlette"
    program = (
        "import sys; from shop import cli; cli.main(['check-config']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=SERVICE, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"
