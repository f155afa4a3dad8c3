"""Keys of the application: what is accepted, what a preset sets, and what the refusal of a wrong value says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.plan.application_settings import PRESETS, ApplicationSettings, CronEntry, Worker, preset_news
from components.plan.config_values import ConfigError
from components.plan.settings import PROJECT_FOLDER, declared_defaults
from tests.unit.settings import read_settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of an application whose pages lie in public/."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.php").write_text("<?php")
    return tmp_path


def application(folder: Path, **values: Any) -> ApplicationSettings:
    return read_settings({"appDir": str(folder), "webRoot": "public", **values}).application


def refusal(folder: Path, **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        application(folder, **values)
    said = str(caught.value)
    assert said.startswith("1 config key needs another value"), said
    assert "Example: pulumi config set" in said
    return said


def test_nothing_set_is_the_folder_itself() -> None:
    settings = read_settings({}).application
    assert (settings.web_root, settings.writable_dirs, settings.workers) == ("", (), ())


@pytest.mark.parametrize("wrong", ["/public", "public/", "../public", "./public", "a//b", "a/../b", "a:b", "a\nb", 3])
def test_a_web_root_is_a_path_below_the_project(project: Path, wrong: Any) -> None:
    (project / "index.php").write_text("<?php")
    assert "php-cluster:webRoot is" in refusal(project, webRoot=wrong)


def test_a_web_root_has_an_index(project: Path) -> None:
    (project / "empty").mkdir()
    assert "php-cluster:webRoot is" in refusal(project, webRoot="empty")
    assert "php-cluster:webRoot is" in refusal(project, webRoot="missing")
    # Without a web root it is the folder that lacks one, and who does not know of the key is told of it.
    said = refusal(project, webRoot="")
    assert "php-cluster:appDir is" in said and "set webRoot" in said


@pytest.mark.parametrize(
    "wrong", [["/var"], ["var", "var"], ["var", "var/cache"], ["var/cache", "var"], [""], ["."], ["../var"], "var", [1]]
)
def test_wrong_writable_folders(project: Path, wrong: Any) -> None:
    assert "php-cluster:writableDirs is" in refusal(project, writableDirs=wrong)


@pytest.mark.parametrize(("web_root", "folder"), [("public", "public"), ("web/public", "web")])
def test_pages_are_never_in_a_writable_folder(project: Path, web_root: str, folder: str) -> None:
    (project / "web" / "public").mkdir(parents=True)
    (project / "web" / "public" / "index.php").write_text("<?php")
    said = refusal(project, webRoot=web_root, writableDirs=[folder])
    assert "PHP could write pages of its own" in said


def test_a_writable_folder_may_lie_below_the_web_root(project: Path) -> None:
    assert application(project, writableDirs=["public/assets"]).writable_dirs == ("public/assets",)


def test_variables_are_text(project: Path) -> None:
    given = {"APP_ENV": "prod", "PORT": 3306, "DEBUG": False, "EMPTY": "", "KEY": 'a "b"\n$c\t'}
    assert application(project, appEnvironment=given).environment == {
        "APP_ENV": "prod",
        "PORT": "3306",
        "DEBUG": "false",
        "EMPTY": "",
        "KEY": 'a "b"\n$c\t',
    }


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"1ST": "x"}, "'1ST' is no name"),
        ({"A-B": "x"}, "'A-B' is no name"),
        ({"": "x"}, "'' is no name"),
        ({"FPM": "x"}, "FPM is reserved"),
        ({"HTTP_PROXY": "x"}, "HTTP_PROXY is reserved: the request sets"),
        ({"LD_PRELOAD": "x"}, "LD_PRELOAD is reserved"),
        ({"PHP_VALUE": "x"}, "use phpSettings"),
        ({"LIST": ["x"]}, "LIST is no text"),
        ({"RATE": 1.5}, "RATE is no text; put its number in quotes"),
        ({"KEY": "hidden\rhidden"}, "KEY has a control character"),
        ({"KEY": "hidden\0"}, "KEY has a control character"),
        ({"KEY": "hidden\ud800"}, "KEY is no valid UTF-8"),
        ({"KEY": "hidden" * 20_000}, "KEY is longer than 100,000 bytes"),
        ({f"KEY{number}": "hidden" * 10_000 for number in range(20)}, "at most 1,000,000 bytes"),
        ("hidden", "a map of variables"),
    ],
)
def test_what_cannot_be_a_variable_is_named_and_no_value_is_shown(project: Path, variables: Any, why: str) -> None:
    said = refusal(project, appEnvironment=variables)
    assert "php-cluster:appEnvironment is [secret]" in said
    assert why in said
    assert "hidden" not in said


@pytest.mark.parametrize("key", ["releaseCommands", "nodeCommands"])
@pytest.mark.parametrize("wrong", ["php x.php", [""], [" "], ["a\nb"], [1], ["x" * 9000]])
def test_wrong_commands(project: Path, key: str, wrong: Any) -> None:
    assert f"php-cluster:{key} is" in refusal(project, **{key: wrong})


def test_jobs(project: Path) -> None:
    settings = application(
        project,
        cron=[{"name": "tidy", "schedule": "0 3 * * *", "command": "php tidy.php"}],
        workers=[{"name": "queue", "command": "php queue.php", "count": 2}],
    )
    assert settings.cron == (CronEntry("tidy", "*-*-* 03:00:00", "php tidy.php"),)
    assert settings.workers == (Worker("queue", "php queue.php", 2, 60),)


@pytest.mark.parametrize(
    ("key", "entries", "why"),
    [
        ("cron", [{"schedule": "@daily", "command": "x"}], "cron[0] cannot work: name is not set"),
        ("cron", [{"name": "x", "schedule": "daily", "command": "x"}], "must have five fields"),
        ("cron", [{"name": "x", "schedule": "61 * * * *", "command": "x"}], "is no minute from 0 to 59"),
        ("cron", [{"name": "x", "schedule": 5, "command": "x"}], "a value has the wrong type"),
        ("cron", [{"name": "A b", "schedule": "@daily", "command": "x"}], "name must be"),
        ("cron", [{"name": "x", "schedule": "@daily", "command": ""}], "command must be a line"),
        ("cron", [{"name": "x", "schedule": "@daily", "command": "x", "user": "root"}], "user is none of its keys"),
        ("cron", ["x"], "it must be a map"),
        ("workers", [{"name": "x", "command": "x", "count": 0}], "count must be a whole number from 1 to 64"),
        ("workers", [{"name": "x", "command": "x", "stopSeconds": -1}], "stopSeconds must be"),
        ("workers", [{"name": "x", "command": "x"}] * 2, "workers[1] cannot work: the name x is another one's"),
        ("workers", {"name": "x"}, "php-cluster:workers is"),
    ],
)
def test_wrong_jobs(project: Path, key: str, entries: Any, why: str) -> None:
    assert why in refusal(project, **{key: entries})


def test_a_preset_sets_what_is_not_set(project: Path) -> None:
    settings = application(project, webRoot="", preset="symfony")
    assert settings.web_root == "public"
    assert settings.writable_dirs == ("var/cache", "var/log")
    assert "webRoot to public" in preset_news(settings)
    own = application(project, webRoot="", preset="symfony", writableDirs=["cache"])
    assert own.writable_dirs == ("cache",)
    assert "writableDirs" not in preset_news(own)


def test_a_dot_keeps_a_preset_from_setting_the_web_root(project: Path) -> None:
    (project / "index.php").write_text("<?php")
    assert application(project, webRoot=".", preset="symfony").web_root == ""


def test_an_unknown_preset(project: Path) -> None:
    assert f"one of {', '.join(sorted(PRESETS))}" in refusal(project, preset="rails")


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_a_working_configuration(tmp_path: Path, preset: str) -> None:
    web_root = tmp_path / PRESETS[preset].get("webRoot", "")
    web_root.mkdir(exist_ok=True)
    (web_root / "index.php").write_text("<?php")
    settings = read_settings({"appDir": str(tmp_path), "preset": preset}).application
    assert settings.from_preset == {key: value for key, value in PRESETS[preset].items() if key in declared_defaults()}


def test_the_docs_show_every_key_and_what_presets_set() -> None:
    docs = (PROJECT_FOLDER / "docs" / "applications.md").read_text()
    keys = ("webRoot", "writableDirs", "sharedDirs", "nodeCommands")
    for preset, values in PRESETS.items():
        assert set(values) <= set(keys), preset
        lists = [[values[key]] if key == "webRoot" and key in values else values.get(key, []) for key in keys]
        cells = [", ".join(f"`{value}`" for value in each) for each in lists]
        assert "".join(f"| {cell} " if cell else "| " for cell in [f"`{preset}`", *cells]) + "|" in docs
    project = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())
    declared = list(project["config"])
    own = declared[declared.index("preset") : declared.index("healthPath")]
    assert [key for key in own if f"`{key}`" not in docs] == []
