"""command:remote:CopyToRemote."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi_command import remote

from tests.plugins.engine import Program, Stack
from tests.plugins.ssh_server import SshServer

Source = pulumi.Asset | pulumi.Archive


def copies(server: SshServer, wanted: Mapping[str, tuple[Source, Path | str]], **arguments: Any) -> Program:
    """A program of one copy for each name, source and remote path."""
    connection = arguments.pop("connection", None) or server.connection()

    def program() -> None:
        for name, (source, path) in wanted.items():
            remote.CopyToRemote(
                name,
                connection=connection,
                source=source,
                remote_path=str(path),
                **arguments,
            )

    return program


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder on the remote host, which is this one."""
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Something to copy: site/index.php, site/deep/a.txt, site/.hidden, big.bin, site.tar.gz."""
    folder = tmp_path / "here"
    (folder / "site" / "deep" / "empty").mkdir(parents=True)
    (folder / "site" / "index.php").write_text("<?php")
    (folder / "site" / "deep" / "a.txt").write_text("grüße\n")
    (folder / "site" / ".hidden").write_text("")
    (folder / "big.bin").write_bytes(bytes(range(256)) * 8192)
    with tarfile.open(folder / "site.tar.gz", "w:gz") as archive:
        archive.add(folder / "site", "site")
    return folder


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) + ("/" if path.is_dir() else "") for path in folder.rglob("*")}


SITE = {"index.php", ".hidden", "deep/", "deep/a.txt", "deep/empty/"}


def test_what_goes_where(stack: Stack, server: SshServer, here: Path, there: Path) -> None:
    for name in ("folder", "with slash", "without slash"):
        (there / name).mkdir()
    (there / "file").write_text("older and longer than what comes")
    (there / "merged" / "site" / "deep").mkdir(parents=True)
    (there / "merged" / "site" / "deep" / "a.txt").write_text("older")
    (there / "merged" / "site" / "stays").write_text("stays")
    site, big = str(here / "site"), here / "big.bin"
    run = stack.up(
        copies(
            server,
            {
                "text": (pulumi.StringAsset("grüße\n"), there / "new" / "deep" / "text"),
                "file": (pulumi.FileAsset(str(here / "site" / "index.php")), there / "file"),
                "big": (pulumi.FileAsset(str(big)), there / "a" / "b" / "renamed"),
                "into": (pulumi.FileAsset(str(big)), there / "folder"),
                "packed": (pulumi.FileArchive(str(here / "site.tar.gz")), there / "packed"),
                "with slash": (pulumi.FileArchive(site + "/"), there / "with slash"),
                "without slash": (pulumi.FileArchive(site), there / "without slash"),
                "new with slash": (pulumi.FileArchive(site + "/"), there / "c" / "new with slash"),
                "new without slash": (pulumi.FileArchive(site), there / "d" / "new without slash"),
                "merged": (pulumi.FileArchive(site), there / "merged"),
            },
        )
    )
    assert (there / "new" / "deep" / "text").read_text() == "grüße\n"
    assert (there / "file").read_text() == "<?php"
    assert (
        (there / "a" / "b" / "renamed").read_bytes() == (there / "folder" / "big.bin").read_bytes() == big.read_bytes()
    )
    assert (there / "packed").read_bytes() == (here / "site.tar.gz").read_bytes()
    inside = {"site/"} | {f"site/{name}" for name in SITE}
    assert tree(there / "with slash") == tree(there / "c" / "new with slash") == SITE
    assert tree(there / "without slash") == tree(there / "d" / "new without slash") == inside
    assert tree(there / "merged") == inside | {"site/stays"}
    assert (there / "merged" / "site" / "deep" / "a.txt").read_text() == "grüße\n"
    outputs = run.after["text"]
    assert set(outputs) == {"connection", "remotePath", "source"} and outputs["remotePath"] == str(
        there / "new/deep/text"
    )
    # What was copied stays when the resource goes.
    assert stack.destroy().steps["text"] == ["delete"]
    assert (there / "file").exists()


def test_when_it_copies_again(stack: Stack, server: SshServer, there: Path, here: Path) -> None:
    index = here / "site" / "index.php"
    file, folder, text = there / "file", there / "folder", there / "text"

    def program(words: str, **arguments: Any) -> Program:
        return copies(
            server,
            {
                "file": (pulumi.FileAsset(str(index)), file),
                "folder": (pulumi.FileArchive(str(here / "site")), folder),
                "text": (pulumi.StringAsset(words), text),
            },
            **arguments,
        )

    stack.up(program("one"))
    for path in (file, text, folder / "site" / "index.php"):
        path.unlink()
    assert stack.up(program("one")).steps["file"] == ["same"]
    # Another connection is a difference, yet nothing is copied for it.
    run = stack.up(program("one", connection=server.connection(dial_error_limit=2)))
    assert run.steps["file"] == run.steps["folder"] == run.steps["text"] == ["update"]
    assert run.changed["text"] == {"connection"}
    assert not file.exists() and not text.exists()

    index.write_text("<?php // changed")
    again = server.connection(dial_error_limit=2)
    run = stack.preview(program("two", connection=again))
    assert run.steps["file"] == run.steps["folder"] == run.steps["text"] == ["update"]
    assert not text.exists()
    run = stack.up(program("two", connection=again))
    assert run.changed["file"] == {"source"}
    assert file.read_text() == (folder / "site" / "index.php").read_text() == "<?php // changed"
    assert text.read_text() == "two"

    run = stack.up(program("two", connection=again, triggers=["new machine"]))
    assert run.steps["text"] == ["create-replacement", "replace", "delete-replaced"]
    text.unlink()
    run = stack.up(program("two", connection=again, triggers=["newer machine"]))
    assert run.changed["text"] == {"triggers"} and text.read_text() == "two"

    text = there / "elsewhere"
    assert stack.up(program("two", connection=again, triggers=["newer machine"])).changed["text"] == {"remotePath"}
    assert text.read_text() == "two" and (there / "text").exists()


def test_failures(stack: Stack, server: SshServer, there: Path, here: Path) -> None:
    (there / "file").write_text("in the way")
    (there / "folder").mkdir()
    (there / "taken").mkdir()
    (there / "taken" / "site").write_text("in the way")
    said = stack.fails(
        copies(
            server,
            {
                "text onto folder": (pulumi.StringAsset("x"), there / "folder"),
                "folder onto file": (pulumi.FileArchive(str(here / "site")), there / "file"),
                "folder's place taken": (pulumi.FileArchive(str(here / "site")), there / "taken"),
                "below a file": (pulumi.StringAsset("x"), there / "file" / "deep"),
                "not possible": (pulumi.StringAsset("x"), "/proc/new"),
            },
        ),
        keep_going=True,
    )
    said.expect("text onto folder", f"remote path {there}/folder is a directory; when using a text asset")
    said.expect("folder onto file", f"{there}/file")
    said.expect("folder's place taken", f"remote path {there}/taken/site exists but is not a directory")
    said.expect("below a file", str(there / "file"))
    said.expect("not possible", "failed to create remote file /proc/new")
    assert not {"text onto folder", "not possible"} & set(stack.resources())
    wrong = copies(server, {"step": (pulumi.StringAsset("x"), there / "x")}, connection=server.connection(port=1))
    assert "after 1 failed attempts: dial tcp" in stack.fails(wrong).errors()


WRONG: Mapping[str, tuple[Source, str]] = {
    "assets": (
        pulumi.AssetArchive({"a": pulumi.StringAsset("x")}),
        "archive must be a path to a file or directory",
    ),
    "far": (
        pulumi.RemoteAsset("file:///etc/hostname"),
        "asset must be a path-based file asset or a text asset",
    ),
}


@pytest.mark.parametrize(("source", "reason"), WRONG.values(), ids=WRONG.keys())
def test_sources_that_cannot_be(stack: Stack, server: SshServer, there: Path, source: Source, reason: str) -> None:
    assert reason in stack.refused(copies(server, {"step": (source, there)})).errors()


def test_secret_content(stack: Stack, server: SshServer, there: Path) -> None:
    def program() -> None:
        content = pulumi.Output.secret("hidden").apply(pulumi.StringAsset)
        remote.CopyToRemote("step", connection=server.connection(), source=content, remote_path=str(there / "x"))

    run = stack.up(program)
    assert (there / "x").read_text() == "hidden"
    assert "hidden" not in stack.stored() and "hidden" not in "".join(message.text for message in run.messages)
    assert stack.up(program).steps["step"] == ["same"]
