"""PHP between two profiles: what it reads and writes, and how records become plain sessions."""

import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.php.node import php_ini
from components.sessions.extension import record_lines
from tests.commands import PROJECT
from tests.lab.conftest import Image
from tests.lab.sessions.server import LOCK_SECONDS, PLAIN_SESSIONS, SAFE, WORKERS, parsed, serving
from tests.release import RELEASE
from tests.stack.cluster import wait_for

REQUEST_SECONDS = 2 * LOCK_SECONDS
ARTICLE = php_ini({}, REQUEST_SECONDS)
BOTH = ARTICLE + record_lines(REQUEST_SECONDS, WORKERS, writes_plain=True)


def is_locked(file: Path) -> bool:
    """Whether a request has this session."""
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def turned(image: Image, folder: Path) -> tuple[int, str]:
    """What plain_sessions.php ends with and says."""
    (folder / "etc" / "plain_sessions.php").write_text(
        (PROJECT / "scripts/hosts/sessions/plain_sessions.php").read_text()
    )
    script = f"""
        cp /files/etc/90-php-cluster.ini /etc/php/{RELEASE.php}/fpm/conf.d/
        export PHP_INI_SCAN_DIR=/etc/php/{RELEASE.php}/fpm/conf.d
        runuser --user www-data -- php -c /etc/php/{RELEASE.php}/fpm /files/etc/plain_sessions.php
    """
    done = image.run(script, files=folder)
    return done.returncode, done.stdout


def test_sessions_of_either_profile_outlive_the_way_to_the_other_and_back(
    image: Image, extension: Path, tmp_path: Path
) -> None:
    with serving(image, extension, tmp_path, ARTICLE) as article:
        sessions = [article.counted(3), article.counted(4)]
        assert article.file(sessions[0]).read_bytes() == b"n|i:3;"
    with serving(image, extension, tmp_path, BOTH) as both:
        assert both.get("count.php", sessions[0])[0].text == "4"
        assert both.file(sessions[0]).read_bytes() == b"n|i:4;"
        sessions.append(both.counted(1))
    with serving(image, extension, tmp_path, SAFE) as safe:
        for session, count in zip(sessions, ("5", "5", "2"), strict=True):
            assert safe.get("count.php", session)[0].text == count
        sessions.append(safe.counted(2))
        assert parsed(safe.file(sessions[3])) == (2, b"n|i:2;")
        safe.get("size.php?n=300000", sessions[1])
    with serving(image, extension, tmp_path, BOTH) as both:
        assert both.get("look.php", sessions[0])[0].text == "5"
        assert parsed(both.file(sessions[0])) == (1, b"n|i:5;")
        assert both.get("count.php", sessions[3])[0].text == "3"
        assert both.file(sessions[3]).read_bytes() == b"n|i:3;"
        destroyed = both.counted(1)
        both.get("destroy.php", destroyed)
    before = both.file(sessions[0]).stat()
    status, said = turned(image, tmp_path)
    assert status == 0 and "turned 3 records into plain sessions\n" in said
    assert both.file(sessions[0]).read_bytes() == b"n|i:5;"
    after = both.file(sessions[0]).stat()
    # It expires when it would have, and is as private as PHP's own handler makes it.
    assert (after.st_uid, int(after.st_mtime), after.st_mode & 0o777) == (before.st_uid, int(before.st_mtime), 0o600)
    status, said = turned(image, tmp_path)
    assert status == 0 and "turned 0 records into plain sessions\n" in said
    with serving(image, extension, tmp_path, ARTICLE) as article:
        for session, count in zip(sessions, ("6", "6", "3", "4"), strict=True):
            assert article.get("count.php", session)[0].text == count
        assert article.get("count.php", destroyed)[0].text == "1"
    assert {path.name for path in article.sessions.glob("sess_*")} == {f"sess_{one}" for one in [*sessions, destroyed]}


def test_a_plain_session_that_is_seen_in_part_is_looked_at_again(image: Image, extension: Path, tmp_path: Path) -> None:
    """The article's mount may show what another node has just written with the size of before."""
    with serving(image, extension, tmp_path, BOTH) as both:
        session = both.counted(3)
        both.file(session).write_bytes(b"n|i:10")
        with ThreadPoolExecutor() as pool:
            counted = pool.submit(both.get, "count.php", session)
            wait_for("the request has its lock", lambda: is_locked(both.file(session)))
            both.file(session).write_bytes(b"n|i:10;")
            assert counted.result()[0].text == "11"
        both.file(session).write_bytes(b"n|i:12")
        assert both.get("count.php", session)[0].status == 503
    with serving(image, extension, tmp_path, SAFE) as safe:
        assert safe.get("count.php", session)[0].status == 503


def test_a_session_may_shrink_as_a_plain_one(image: Image, extension: Path, tmp_path: Path) -> None:
    with serving(image, extension, tmp_path, BOTH) as both:
        session = both.counted(1)
        for size in (100_000, 10, 5000, 0):
            both.get(f"size.php?n={size}", session)
            assert both.file(session).read_bytes() == b'n|i:1;t|s:%d:"%s";' % (size, b"x" * size)
            assert both.get("look.php", session)[0].text == "1"


def test_a_record_that_cannot_be_read_stops_it_and_stays(image: Image, extension: Path, tmp_path: Path) -> None:
    with serving(image, extension, tmp_path, SAFE) as safe:
        damaged, well, plain = safe.counted(3), safe.counted(2), safe.counted(1)
        text = safe.file(damaged).read_bytes().replace(b"i:3;", b"i:4;")
        safe.file(damaged).write_bytes(text)
        safe.file(plain).write_bytes(PLAIN_SESSIONS["large"])
    status, said = turned(image, tmp_path)
    assert status == 1
    assert "turned 1 records" in said and f"sess_{damaged}: its record is damaged" in said
    assert safe.file(damaged).read_bytes() == text
    assert safe.file(well).read_bytes() == b"n|i:2;"
    assert safe.file(plain).read_bytes() == PLAIN_SESSIONS["large"]
