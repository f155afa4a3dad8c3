"""From nothing and back to nothing."""

from pathlib import Path

from tests.stack.cluster import Cluster, leftovers, nothing_is_left
from tests.stack.health import CLIENTS


def test_destroy_leaves_nothing(fresh_backend: Path) -> None:
    stack = Cluster(fresh_backend, {"phpNodes": "1", "profile": "article"})
    try:
        stack.up()
        visitor = stack.visitor()
        assert [visitor.visit()["counter"] for _ in range(3)] == [1, 2, 3]
        outputs = stack.outputs()
        assert outputs["mounts"] == {"php1": "lb1:/sessions /media/sessions glusterfs defaults,_netdev 0 0"}
        assert "Number of Bricks: 1 x 2 = 2" in outputs["volumeInfo"]
        assert leftovers(stack.lab) != [], "the check for leftovers would not see any"

        # With this profile nobody mounts again what gets lost, until the next update.
        stack.ssh("php1", f"kill -KILL $({CLIENTS})")
        assert "from a client that has ended" in stack.up()
        assert visitor.visit()["counter"] == 4
        stack.destroy()
        nothing_is_left(stack.lab)

        # Once more, and this time the machines are gone before Pulumi hears of it.
        stack.up()
        for machine in ("lb1", "lb2", "php1"):
            stack.lab_command("power-off", machine)
        stack.destroy()
        nothing_is_left(stack.lab)
    finally:
        stack.remove()


def test_what_is_protected_stays(fresh_backend: Path) -> None:
    stack = Cluster(fresh_backend, {"phpNodes": "1", "profile": "article", "protect": "true"})
    try:
        stack.up()
        visitor = stack.visitor()
        visitor.visit()
        before = stack.export()
        done = stack.pulumi("destroy", "--yes", "--stack", stack.name, check=False)
        assert done.returncode != 0 and "pulumi state unprotect" in done.stdout, done.stdout
        assert stack.run("scripts/down", stack.name).stderr.startswith(f"The stack {stack.name} is protected: ")
        assert stack.export()["deployment"]["resources"] == before["deployment"]["resources"]
        assert visitor.visit()["counter"] == 2
        # Machines that are gone are made again all the same.
        stack.lab_command("lose", "lb2")
        assert "lb2 is gone" in stack.up()
        assert visitor.visit()["counter"] == 3
        stack.configure({"protect": "false"})
        stack.up()
        stack.destroy()
        nothing_is_left(stack.lab)
    finally:
        stack.pulumi("state", "unprotect", "--all", "--yes", "--stack", stack.name)
        stack.remove()


def test_a_bare_debian_installs_what_it_needs(fresh_backend: Path) -> None:
    stack = Cluster(fresh_backend, {"phpNodes": "1", "image": "stock", "extraPackages[0]": "php-intl"})
    try:
        output = stack.up()
        assert "installs glusterfs-client nginx-light php-cli php-fpm php-intl" in output
        visitor = stack.visitor()
        assert [visitor.visit()["counter"] for _ in range(3)] == [1, 2, 3]
        assert "intl" in stack.ssh("php1", "php -m")
        stack.pulumi("preview", "--expect-no-changes", "--stack", stack.name)
    finally:
        stack.remove()
    nothing_is_left(stack.lab)
