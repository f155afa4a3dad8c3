"""How a step is put together, and what a machine makes of it."""

import io
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from components.steps import host_scripts
from components.steps.host_scripts import HOST_SCRIPTS, libraries, pack, stored_name
from components.steps.remote import ARRIVAL, render, script_text

LIBRARY = "steps/lib.sh"
SCRIPTS = sorted(
    str(path.relative_to(HOST_SCRIPTS))
    for path in HOST_SCRIPTS.rglob("*.sh")
    if path.parent.name != "steps" and path.name != "lib.sh"
)
ODD = "a 'quoted' \"value\" $HOME `id` \\ \n second line"


def test_a_command_of_a_script_cannot_swallow_the_rest() -> None:
    whole = script_text("volume-start", "gluster/volume-start.sh", {"VOLUME": "sessions"})
    assert '\n    bash "$text" </dev/null\n' in whole and whole.endswith("\nrun_text\n")


def test_a_value_cannot_end_the_text_early() -> None:
    with pytest.raises(ValueError, match="must not contain"):
        script_text("step", "gluster/volume-start.sh", {"VOLUME": "x\nEND-OF-STEP-64QF2Z\nreboot\n"})


def test_names_of_variables_are_checked() -> None:
    for variables, files in (({"PATH=x; reboot": "1"}, {}), ({}, {"PATH=x; reboot": LIBRARY})):
        with pytest.raises(ValueError, match="no name for a variable"):
            script_text("step", "gluster/volume-start.sh", variables, files)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_bash_and_ends_with_news(script: str) -> None:
    for text in ((HOST_SCRIPTS / script).read_text(), script_text("step", script, {})):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    body = (HOST_SCRIPTS / script).read_text()
    assert "report " in body or script == "gluster/volume-info.sh"
    assert "# Input: " in body


def test_a_step_has_the_library_of_its_own_room_alone() -> None:
    assert libraries("gluster/volume-start.sh") == [LIBRARY, "gluster/lib.sh"]
    assert libraries("php/php.sh") == [LIBRARY]
    text = script_text("volume-start", "gluster/volume-start.sh", {})
    read = re.findall(r'^\. "\$scripts/(\S+)"$', text, re.MULTILINE)
    assert read == [stored_name(file) for file in (LIBRARY, "gluster/lib.sh", "gluster/volume-start.sh")]


def test_a_text_that_is_cut_off_runs_nothing(folder: Path) -> None:
    """As by a connection that ends while it travels."""
    (folder / "arrived" / "x.tar").write_bytes(pack())
    whole = script_text("a-step", "say.sh", {"WORD": "x"})
    whole = whole.replace("/var/lib/php-cluster", str(folder / "lib")).replace(ARRIVAL, f"{folder}/arrived/")
    for end in (whole.index("STEP=a-step", 1), whole.index('. "$scripts/say.sh'), len(whole) - len("run_text\n")):
        done = subprocess.run(["bash", "-s"], input=whole[:end], capture_output=True, text=True, check=False)
        assert done.stdout == "" and not (folder / "lib/steps/a-step").exists()
    done = subprocess.run(["bash", "-s"], input=whole, capture_output=True, text=True, check=True)
    assert done.stdout == "a-step: x"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(Exception, match="is undefined"):
        render("base/packet-filter.nft.j2")


Step = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a machine would be, with two scripts of ours in place of all others."""
    scripts = tmp_path / "scripts"
    (scripts / LIBRARY).parent.mkdir(parents=True)
    library = (HOST_SCRIPTS / LIBRARY).read_text().replace("/run/php-cluster-steps", str(tmp_path))
    (scripts / LIBRARY).write_text(library)
    (scripts / "say.sh").write_text("printf '%s' \"$STEP: $WORD${TEXT-}\"\n")
    (scripts / "page.php").write_text("<?php\n\n")
    monkeypatch.setattr(host_scripts, "HOST_SCRIPTS", scripts)
    stored_name.cache_clear()
    arrived = tmp_path / "arrived"
    arrived.mkdir()
    yield tmp_path
    # What they are called here must not reach other tests.
    stored_name.cache_clear()


@pytest.fixture
def step(folder: Path) -> Step:
    def run(word: str, files: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        text = script_text("a-step", "say.sh", {"WORD": word}, files)
        text = text.replace("/var/lib/php-cluster", str(folder / "lib")).replace(ARRIVAL, f"{folder}/arrived/")
        return subprocess.run(["bash", "-s"], input=text, capture_output=True, text=True, check=False)

    return run


def test_variables_and_files_arrive_as_they_are(folder: Path, step: Step) -> None:
    (folder / "arrived" / "x.tar").write_bytes(pack())
    done = step(ODD, {"TEXT": "page.php"})
    assert (done.stdout, done.stderr) == (f"a-step: {ODD}<?php\n\n", "")
    # Unpacked, it is of no more use; the step can be run again there as it is.
    assert not list((folder / "arrived").iterdir())
    again = subprocess.run(["bash", folder / "lib/steps/a-step"], capture_output=True, text=True, check=True)
    assert again.stdout == done.stdout and step("x").stdout == "a-step: x"


def test_older_scripts_stay_for_the_steps_that_name_them(folder: Path, step: Step) -> None:
    (folder / "arrived" / "x.tar").write_bytes(pack())
    assert step("x").stdout == "a-step: x"
    older = (folder / "lib/steps/a-step").read_text()
    (folder / "scripts" / "say.sh").write_text("echo new\n")
    stored_name.cache_clear()
    assert "not here: lib.sh." in step("x").stderr
    (folder / "arrived" / "y.tar").write_bytes(pack())
    assert step("x").stdout == "new\n"
    assert subprocess.run(["bash", "-c", older], capture_output=True, text=True, check=True).stdout == "a-step: x"


def test_what_editors_and_python_leave_is_not_packed(folder: Path) -> None:
    before = pack()
    for name in (".say.sh.swp", "say.sh~", "__pycache__/elastic-ip.pyc"):
        (folder / "scripts" / name).parent.mkdir(exist_ok=True)
        (folder / "scripts" / name).write_bytes(b"\xa7")
    assert pack() == before


def test_a_damaged_script_is_brought_again(folder: Path, step: Step) -> None:
    """A power cut may leave a file empty, which as a script would succeed at nothing."""
    (folder / "arrived" / "x.tar").write_bytes(pack())
    assert step("x").stdout == "a-step: x"
    (folder / "lib/scripts" / stored_name("say.sh")).write_text("")
    assert "not here: lib.sh." in step("x").stderr
    (folder / "arrived" / "x.tar").write_bytes(pack())
    assert step("x").stdout == "a-step: x"


def test_what_others_put_there_is_not_run(folder: Path, step: Step) -> None:
    """Anybody on the machine may write where archives arrive."""
    name = stored_name("say.sh")
    (folder / "elsewhere").write_text((folder / "scripts" / "say.sh").read_text())
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, str(folder / "elsewhere")
    other = tarfile.TarInfo(name)
    other.size = 8
    pipe = tarfile.TarInfo(name)
    pipe.type = tarfile.FIFOTYPE
    for number, content in enumerate((b"", b"no archive", *map(archive_of, (other, link, pipe)))):
        (folder / "arrived" / f"{number}.tar").write_bytes(content)
        done = step("x")
        assert done.returncode == 1 and f"{name}" in done.stderr.splitlines()[-1], number
    (folder / "arrived" / "0.tar").write_bytes(archive_of(other))
    (folder / "arrived" / "1.tar").write_bytes(pack())
    assert step("x").stdout == "a-step: x"
    assert sorted(path.name for path in (folder / "lib/scripts").iterdir()) == [
        ".lock",
        *sorted(stored_name(each) for each in (LIBRARY, "page.php", "say.sh")),
    ]


def archive_of(info: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info, io.BytesIO(b"echo no\n"))
    return buffer.getvalue()
