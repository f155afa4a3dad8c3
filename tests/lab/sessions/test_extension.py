"""The library that build-extension makes, as PHP loads it."""

from pathlib import Path

from tests.lab.conftest import Image

STACK = """
foreach (file('/proc/self/maps') as $line) {
    if (str_contains($line, '[stack]')) { echo explode(' ', $line)[1]; }
}
echo extension_loaded('php_cluster') ? ' loaded' : '';
"""


def test_it_leaves_the_stack_of_php_as_it_is(image: Image, extension: Path) -> None:
    """A library that does not say that it needs no executable stack gets one, or on Debian 13 is not loaded at all."""
    (extension.parent / "stack.php").write_text(f"<?php {STACK}")
    said = image.run(f"php -n -d extension=/files/{extension.name} /files/stack.php", files=extension.parent)
    # nspawn has something to say, too.
    assert said.stdout.startswith("rw-p loaded"), said.stdout
