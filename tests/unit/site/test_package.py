"""The site's archive: the same bytes for the same files, and nothing in it that must stay at home."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from components.plan.config_values import ConfigError
from components.site.package import pack, pack_site
from components.steps.kept_files import FOLDER, KEPT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "lib").mkdir(parents=True)
    (folder / "index.php").write_text("<?php echo 1;")
    (folder / "lib" / "a.php").write_text("<?php")
    return folder


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getnames()


def refusal(folder: Path, limit: int = 64) -> str:
    with pytest.raises(ConfigError) as caught:
        pack(folder, [], limit)
    return str(caught.value)


def test_the_same_files_give_the_same_bytes(folder: Path) -> None:
    first = pack(folder, [], 64)
    (folder / "index.php").touch()
    os.utime(folder / "lib", (0, 0))
    (folder / "lib" / "a.php").chmod(0o600)
    assert pack(folder, [], 64) == first
    (folder / "index.php").write_text("<?php echo 2;")
    assert pack(folder, [], 64) != first


def test_what_is_excluded_stays_at_home(folder: Path) -> None:
    (folder / ".git" / "objects").mkdir(parents=True)
    (folder / ".git" / "objects" / "x").write_text("x")
    (folder / "notes.swp").write_text("x")
    (folder / "lib" / "cache").mkdir()
    assert names(pack(folder, [".git", "*.swp", "lib/cache"], 64)) == ["index.php", "lib", "lib/a.php"]


def test_a_program_stays_one(folder: Path) -> None:
    (folder / "lib" / "a.php").chmod(0o755)
    with tarfile.open(fileobj=io.BytesIO(pack(folder, [], 64))) as archive:
        assert archive.getmember("lib/a.php").mode == 0o755
        assert archive.getmember("index.php").mode == 0o644


def test_links_inside_are_kept_and_others_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "link.php").symlink_to("lib/a.php")
    assert "link.php" in names(pack(folder, [], 64))
    (tmp_path / "secret").write_text("x")
    (folder / "out").symlink_to("../secret")
    assert "out points to ../secret, outside of the site" in refusal(folder)
    (folder / "out").unlink()
    (folder / "absolute").symlink_to("/etc/passwd")
    assert "appExclude" in refusal(folder)


def test_a_socket_cannot_be_delivered(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "pipe is neither a file nor a folder" in refusal(folder)


def test_a_size_limit_names_the_largest_parts(folder: Path) -> None:
    (folder / "video").write_bytes(os.urandom(2 * 1024 * 1024))
    said = refusal(folder, limit=1)
    assert "more than 1 MiB" in said and "video (2.0 MiB)" in said and "pulumi config set appMaxMiB 2" in said


def test_archives_are_named_by_content_and_old_ones_go(folder: Path, tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        (folder / "index.php").write_text(f"<?php echo {number};")
        site = pack_site(folder, [], 64, project=tmp_path)
    assert site.archive == FOLDER / "site" / f"{site.sha256}.tar.gz"
    assert (tmp_path / site.archive).is_file()
    assert len(list((tmp_path / FOLDER / "site").iterdir())) == KEPT
    assert pack_site(folder, [], 64, project=tmp_path) == site
