"""One engine for all; a stack for each test that asks for one."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.engine import VERSIONS, Engine, Stack
from tests.plugins.ssh_server import SshServer, make_key


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The engine with the plugins to be judged: those of OFFICIAL_PLUGINS, else those that are installed."""
    if not shutil.which("pulumi"):
        pytest.fail("No `pulumi` on PATH: run `source scripts/activate` first, or `make test`.")
    folder = tmp_path_factory.mktemp("backend")
    if official := os.environ.get("OFFICIAL_PLUGINS"):
        engine = Engine(folder, tmp_path_factory.mktemp("home"))
        engine.install(Path(official).resolve())
        return engine
    engine = Engine(folder, Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi")))
    for name, version in VERSIONS.items():
        if not (engine.home / "plugins" / f"resource-{name}-v{version}").is_dir():
            pytest.fail(f"The plugin {name} {version} is not in {engine.home}: run `make test`, which installs it.")
    return engine


@pytest.fixture(autouse=True)
def _orderly_collection() -> Iterator[None]:
    """Collects garbage after each test of this folder, and at no other time from then on.

    When the engine ends first, since a resource failed, the SDK leaves coroutines behind; collected in the
    middle of something else they raise there, and Python's parser crashes on it.
    """
    gc.disable()
    yield
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    gc.collect()
    sys.unraisablehook = hook


@pytest.fixture
def stack(engine: Engine) -> Stack:
    """A new stack; it goes with the backend's folder, and what its resources leave is in the test's own."""
    return engine.stack()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A server that takes a key, for all tests; whoever changes it puts it back."""
    folder = tmp_path_factory.mktemp("ssh")
    server = SshServer(folder / "server", make_key(folder / "user_key"))
    server.start()
    yield server
    server.stop()
