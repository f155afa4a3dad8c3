"""PHP's own tests, put to a node's PHP as requests: what stock PHP passes there, the product passes too."""

import sys
from collections.abc import Iterator

import pytest

from tests.commands import PROJECT
from tests.php.exceptions import excepted
from tests.php.pools import Node
from tests.php.source import OUTPUT, SESSIONS, Package, Source, fetched, of_this_box
from tests.php.trial import compare, complaints, needed, report
from tests.stack.cluster import Cluster

REPORTS = PROJECT / ".cluster" / "php-tests"

KINDS = {"sessions": SESSIONS, "output": OUTPUT}
AT_LEAST = {"sessions": 170, "output": 75}
"""So many have to pass, of an older PHP's tests too: should stock PHP itself fail, nothing would be worse than it."""
SHARE = 0.96
"""Of those that stock PHP passes: however long the table of exceptions grows."""


@pytest.fixture(scope="module")
def node(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    found = Node(cluster, "php1", tmp_path_factory.mktemp("php"))
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def package(node: Node) -> Package:
    return node.start()


@pytest.fixture(scope="module")
def source(node: Node, package: Package) -> Source:
    return fetched(package, [node.sources(), of_this_box()])


@pytest.mark.parametrize("kind", KINDS)
def test_the_product_passes_what_stock_php_passes(
    node: Node, package: Package, source: Source, kind: str, request: pytest.FixtureRequest
) -> None:
    tests = source.tests(KINDS[kind])
    node.put(needed(source, KINDS[kind]))
    with node.pools() as (stock, product):
        found = compare(tests, stock, product)
    tell(request, f"{kind}: {found}, of {len(tests)} tests of {source.version} on {package.version}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{kind}.txt").write_text(report(found))
    wrong = complaints(found, exceptions_of(kind, package))
    assert wrong == [], f"docs/php.md has the exceptions, {REPORTS} all answers"
    assert len(found.right - found.worse) >= max(AT_LEAST[kind], SHARE * len(found.right))


def exceptions_of(kind: str, package: Package) -> list[str]:
    """The tests that the table names; all that are not about sessions count as those about output."""
    named = [row.test for row in excepted() if row.holds_of(package.version)]
    return [name for name in named if name.startswith("ext/session/") == (kind == "sessions")]


def tell(request: pytest.FixtureRequest, text: str) -> None:
    """Says it to whoever runs the tests, passed or not."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        sys.stdout.write(f"\n{text}\n")
