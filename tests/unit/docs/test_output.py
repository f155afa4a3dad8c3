"""What pages show of the program's output, the program says."""

import re
from datetime import UTC, datetime

from components.plan import topology
from components.plan.topology import Profile, Role
from scripts.site_release import Node, Release, table
from scripts.summary import summary
from tests.commands import PROJECT
from tests.unit.docs.pages import page

APPLICATIONS = page("docs/applications.md").section("## Releases and rollback")


def test_the_end_of_make_up() -> None:
    [shown] = [block for language, block in page("README.md").blocks if not language]
    url = re.search(r"http://(\S+)\.10/", shown)
    assert url is not None
    plan = topology.plan(f"{url[1]}.0/24", 2, Profile.SAFE, None)
    assert f"http://{plan.floating_ip}/" in shown
    machines = {
        machine.name: {"role": machine.role.value, "address": machine.address, "ssh": f"scripts/ssh {machine.name}"}
        for machine in plan.machines
    }
    said = summary("dev", {"url": f"http://{plan.floating_ip}/", "statsUrl": "", "machines": machines})
    assert shown in f"{said}\n"
    for command in ("scripts/lab/power-off lb1", "scripts/lab/restore lb1", "make down"):
        assert command in said and command in page("README.md").text


def test_the_list_of_releases() -> None:
    nodes: dict[str, list[Release]] = {}
    lines = re.findall(r"^(php\d+)   (\w+)  (serves since|was switched to) (.*) UTC$", APPLICATIONS, re.MULTILINE)
    assert len(lines) == 4
    for node, name, state, since in lines:
        at = datetime.strptime(since, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        nodes.setdefault(node, []).append(Release(name, int(at.timestamp()), state == "serves since"))
    assert table({name: Node(tuple(releases)) for name, releases in nodes.items()}) in APPLICATIONS


def test_what_a_rollback_says() -> None:
    """The fixed words of both lines, where the program has them."""
    [done] = re.findall(r"^php1, php2: (.*)$", APPLICATIONS, re.MULTILINE)
    [warning] = re.findall(r"^warning: (.*)…$", APPLICATIONS, re.MULTILINE)
    for line, source in ((done, "scripts/site_release.py"), (warning, "components/site/release.py")):
        text = " ".join(re.sub(r'"\s*f?"', "", (PROJECT / source).read_text()).split())
        words = [re.escape(part.strip()) for part in re.split(r"[0-9a-f]{12}", line)]
        assert re.search(r" ?\{[^}]*\} ?".join(words), text), line


def test_the_roles_of_machines() -> None:
    """The words of the glossary."""
    assert [role.value for role in Role] == ["load balancer", "PHP node"]
