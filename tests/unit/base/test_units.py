"""What no linter of systemd's knows of our units: which settings would keep a service from its start, and when."""

from tests.commands import PROJECT

UNITS = {
    str(path.relative_to(PROJECT)): path.read_text().splitlines()
    for pattern in ("*.service", "*.service.j2", "*.drop-in.conf", "confined.conf.j2")
    for path in (PROJECT / "scripts/hosts").rglob(pattern)
}

WRITES = {
    *("PrivateDevices", "PrivateTmp", "DynamicUser"),
    *("StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory"),
}
"""For these systemd makes folders in /tmp, /var or /etc before it starts the program. RuntimeDirectory is in memory."""


def settings(lines: list[str]) -> set[str]:
    return {line.partition("=")[0] for line in lines}


def test_who_starts_before_the_disks_are_writable_needs_no_folder_there() -> None:
    # Debian's own nftables.service starts as early.
    early = {file: lines for file, lines in UNITS.items() if "DefaultDependencies=no" in lines or "nftables" in file}
    assert {"scripts/hosts/base/packet-filter.service", "scripts/hosts/base/nftables.drop-in.conf"} <= set(early)
    assert {file: settings(lines) & WRITES for file, lines in early.items() if settings(lines) & WRITES} == {}
