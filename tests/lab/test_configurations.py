"""Every configuration file, judged by the daemon that reads it, inside the image: none is installed on this box."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components.balancer.certificate import ACME_PATH
from components.balancer.load_balancer import (
    MAINTENANCE_MAP,
    MAINTENANCE_PAGE,
    TLS_PATH,
    Http3,
    haproxy_configuration,
    keepalived_configuration,
)
from components.balancer.status_page import PAGE_FOLDER
from components.base.packet_filter import packet_filter
from components.php.mount import fstab_line
from components.php.node import SETTINGS_SERVERS, WebRules, fpm_configuration, nginx_site, php_ini
from components.plan import topology
from components.plan.application_settings import ApplicationSettings, CronEntry, Worker
from components.plan.limits import USUAL, Limits
from components.plan.settings import declared_defaults
from components.plan.topology import Profile, Topology
from components.sessions.extension import record_lines
from components.sessions.log import SOCKET
from components.site.jobs import jobs_of
from components.steps.host_scripts import HOST_SCRIPTS
from tests.commands import PROJECT
from tests.lab.conftest import Image
from tests.release import RELEASE
from tests.unit.plan.test_settings import self_signed

PLAN = topology.plan("198.18.7.0/24", 64, Profile.SAFE)
WITH_IPV6 = replace(PLAN, floating_ip6="2001:db8::10")
ELASTIC_ADDRESSES = ("198.18.7.110", "198.18.7.120")


PROXIES = ("203.0.113.0/24", "2001:db8::/32")
RULES = WebRules("www.example.org", tuple(declared_defaults()["denyPaths"]), PROXIES, ("1G",))


OFFICE = Limits(exempt=("192.0.2.0/28", "2001:db8:5::/48"))


def haproxy(
    *,
    tls: bool,
    proxies: tuple[str, ...] = (),
    proxy_protocol: bool = False,
    metrics: bool = False,
    acme_thumbprint: str = "",
    limits: Limits = USUAL,
    plan: Topology = PLAN,
    http3: Http3 | None = None,
) -> str:
    return haproxy_configuration(
        plan,
        0,
        "hidden",
        tls=tls,
        request_seconds=60,
        trusted_proxies=proxies,
        proxy_protocol=proxy_protocol,
        metrics=metrics,
        acme_thumbprint=acme_thumbprint,
        hsts_seconds=300 if tls else 0,
        limits=limits,
        http3=http3,
    )


# What scripts/maintenance and steps write on a balancer.
HAPROXY = (
    f"mkdir -p /run/haproxy {PAGE_FOLDER}; touch {PAGE_FOLDER}/page.{{html,css,js}};"
    f" touch {MAINTENANCE_MAP} {MAINTENANCE_PAGE}; haproxy -c -f /files/file"
)
FPM = f"mkdir -p /run/php-cluster; FPM=a php-fpm{RELEASE.php} --test --fpm-config /files/file"
NGINX = "printf 'events {}\\nhttp {\\n include /files/file;\\n}\\n' >/etc/nginx/nginx.conf; nginx -t"

# Its interface, and the file that watch-balancer has written before it starts: 2.3 ignores one that is not there.
KEEPALIVED = (
    "ip link add host0 type veth peer name other; mkdir -p /run/php-cluster; echo 0 >/run/php-cluster/may-hold;"
)

# The daemon's own check of /files/file.
JUDGES = {
    "haproxy": HAPROXY,
    "haproxy with TLS": f"cp /files/pem {TLS_PATH}; {HAPROXY}",
    "haproxy behind a proxy": f"cp /files/pem {TLS_PATH}; {HAPROXY}",
    "haproxy behind the PROXY protocol": HAPROXY,
    "haproxy with metrics": HAPROXY,
    "haproxy with a CA's certificate": f"cp /files/pem {ACME_PATH}; {HAPROXY}",
    "haproxy with an office": HAPROXY,
    "haproxy with IPv6": f"cp /files/pem {TLS_PATH}; {HAPROXY}",
    "haproxy with HTTP/3": f"cp /files/pem {TLS_PATH}; {HAPROXY}",
    "keepalived": f"{KEEPALIVED} keepalived --use-file=/files/file --config-test",
    "keepalived with IPv6": f"{KEEPALIVED} keepalived --use-file=/files/file --config-test",
    "keepalived with an Elastic IP": f"{KEEPALIVED} keepalived --use-file=/files/file --config-test",
    "nft, balancer": "nft --check --file /files/file",
    "nft, PHP node": "nft --check --file /files/file",
    "nft with metrics": "nft --check --file /files/file",
    "nginx": NGINX,
    "nginx with rules": NGINX,
    "nginx, settings that are tried": NGINX,
    "nginx with metrics": NGINX,
    "php-fpm": FPM,
    "php-fpm with metrics": FPM,
    "php ini": f'cp /files/file /etc/php/{RELEASE.php}/cli/conf.d/90-php-cluster.ini; php -r "exit(0);"',
    "fstab": "mkdir -p /media/sessions; findmnt --verify --tab-file /files/file",
}

TEXTS: dict[str, Callable[[], str]] = {
    "haproxy": lambda: haproxy(tls=False),
    "haproxy with TLS": lambda: haproxy(tls=True),
    "haproxy behind a proxy": lambda: haproxy(tls=True, proxies=PROXIES),
    "haproxy behind the PROXY protocol": lambda: haproxy(tls=False, proxies=PROXIES, proxy_protocol=True),
    "haproxy with metrics": lambda: haproxy(tls=False, metrics=True),
    "haproxy with a CA's certificate": lambda: haproxy(
        tls=False, proxies=PROXIES, proxy_protocol=True, acme_thumbprint="wFDg8e_d8OK7OQ0LFWB7Qt1kGKux3b50M53bQku4hTA"
    ),
    "haproxy with an office": lambda: haproxy(tls=False, proxies=PROXIES, limits=OFFICE),
    "haproxy with IPv6": lambda: haproxy(tls=True, proxies=PROXIES, plan=WITH_IPV6),
    "haproxy with HTTP/3": lambda: haproxy(
        tls=True, proxies=PROXIES, plan=WITH_IPV6, http3=Http3(("198.18.7.10", "2001:db8::10"), "s" * 48)
    ),
    "keepalived": lambda: keepalived_configuration(PLAN, 0, "host0"),
    "keepalived with IPv6": lambda: keepalived_configuration(WITH_IPV6, 0, "host0"),
    "keepalived with an Elastic IP": lambda: keepalived_configuration(PLAN, 0, "host0", ELASTIC_ADDRESSES),
    "nft, balancer": lambda: packet_filter(PLAN, PLAN.balancers[1]),
    "nft, PHP node": lambda: packet_filter(PLAN, PLAN.php_nodes[0]),
    "nft with metrics": lambda: packet_filter(PLAN, PLAN.balancers[0], ("203.0.113.0/28", "192.0.2.9/32")),
    "nginx": lambda: nginx_site(PLAN, {"post_max_size": "64M"}, 60),
    "nginx with rules": lambda: nginx_site(PLAN, {}, 60, RULES),
    "nginx, settings that are tried": lambda: nginx_site(PLAN, {}, 60, RULES, SETTINGS_SERVERS),
    "nginx with metrics": lambda: nginx_site(PLAN, {}, 60, WebRules(metrics=True)),
    "php-fpm": lambda: fpm_configuration(Profile.SAFE, 8),
    "php-fpm with metrics": lambda: fpm_configuration(Profile.SAFE, 8, metrics=True),
    "php ini": lambda: php_ini(
        {"memory_limit": "256M", "display_errors": "off", "error_reporting": "E_ALL & ~E_NOTICE"},
        60,
        record_lines(60, 8),
    ),
    "fstab": lambda: fstab_line(Profile.SAFE) + "\n",
}

# A small mistake that the same judge must see; else its approval would mean nothing.
MISTAKES = {
    "haproxy": ("balance roundrobin", "balance roundrobbin"),
    "haproxy with TLS": ("bind-curves X25519", "bind-curves X25518"),
    "haproxy behind a proxy": ("acl from_proxy src 203", "acl from_proxy scr 203"),
    "haproxy behind the PROXY protocol": ("expect-proxy layer4", "expect-proxy layer5"),
    "haproxy with metrics": ("use-service prometheus", "use-service promotheus"),
    "haproxy with a CA's certificate": ("lf-string", "lf-strings"),
    "haproxy with an office": ("acl unlimited src 192", "acl unlimited scr 192"),
    "haproxy with IPv6": ("bind :::443 v6only", "bind :::443 v6onyl"),
    "haproxy with HTTP/3": ("alpn h3", "alpn h3 transparence"),
    "keepalived": ("unicast_peer {", "unicast_pear {"),
    "keepalived with IPv6": ("2001:db8::10/128", "2001:db8::10:/128"),
    "keepalived with an Elastic IP": ("vrrp_notify_fifo", "vrrp_notify_fifi"),
    "nft, balancer": ("hook input", "hook inputs"),
    "nft, PHP node": ("tcp flags", "tcp flogs"),
    "nft with metrics": ("ip daddr", "ip daddress"),
    "nginx": ("real_ip_header", "real_ip_heather"),
    "nginx with rules": ('"~*', '"~*('),
    "nginx, settings that are tried": ("8082;", "8082"),
    "nginx with metrics": ("max_fails=0;", "max_fail=0;"),
    "php-fpm": ("pm = static", "pm = statick"),
    "php-fpm with metrics": ("pm.status_listen", "pm.status_listens"),
    "php ini": ("php_cluster.lock_seconds = ", "php_cluster.lock_seconds = ("),
    "fstab": ("/media/sessions", "/media/no-such-folder"),
}


@pytest.mark.parametrize("kind", [kind for kind in JUDGES if RELEASE.quic or kind != "haproxy with HTTP/3"])
def test_daemons_take_it(image: Image, tmp_path: Path, kind: str) -> None:
    (tmp_path / "pem").write_text("".join(self_signed()))
    text = TEXTS[kind]()
    (tmp_path / "file").write_text(text)
    done = image.run(JUDGES[kind], tmp_path)
    assert done.returncode == 0 and "syntax error" not in done.stdout, done.stdout

    right, wrong = MISTAKES[kind]
    assert right in text
    (tmp_path / "file").write_text(text.replace(right, wrong))
    done = image.run(JUDGES[kind], tmp_path)
    assert done.returncode != 0 or "syntax error" in done.stdout, f"the mistake {wrong!r} was not seen"


# Where each unit file of scripts/hosts lies on a machine, below /etc/systemd/system. A drop-in is judged with its unit.
UNITS = {
    "balancer/acme.service": "php-cluster-certificate.service",
    "balancer/acme.timer": "php-cluster-certificate.timer",
    "balancer/balancer.service": "php-cluster-balancer.service",
    "balancer/changes.service": "php-cluster-changes.service",
    "balancer/changes.socket": "php-cluster-changes.socket",
    "balancer/changes.timer": "php-cluster-changes.timer",
    "balancer/changes@.service": "php-cluster-changes@1.service",
    "balancer/elastic-ip.service": "php-cluster-elastic-ip.service",
    "balancer/haproxy.drop-in.conf": "haproxy.service.d/php-cluster.conf",
    "balancer/keepalived.drop-in.conf": "keepalived.service.d/php-cluster.conf",
    "base/metrics.service": "php-cluster-metrics.service",
    "base/metrics.timer": "php-cluster-metrics.timer",
    "base/nftables.drop-in.conf": "nftables.service.d/php-cluster.conf",
    "base/packet-filter.service": "php-cluster-packet-filter.service",
    "base/router.service": "php-cluster-router.service",
    "gluster/arbiter.service": "php-cluster-arbiter.service",
    "gluster/bricks-go-on.drop-in.conf": "glusterd.service.d/php-cluster.conf",
    "gluster/glusterd.drop-in.conf": "glusterd.service.d/php-cluster.conf",
    "php/fpm@.service": "php-cluster-fpm@a.service",
    "php/keep-mounted.service": "php-cluster-sessions.service",
    "php/mount.drop-in.conf": "media-sessions.mount.d/php-cluster.conf",
    "sessions/collect.service": "php-cluster-collect.service",
    "sessions/collect.timer": "php-cluster-collect.timer",
    "sessions/session-log.service": "php-cluster-session-log.service",
    "site/cron.service.j2": "php-cluster-cron-hourly.service",
    "site/cron.timer.j2": "php-cluster-cron-hourly.timer",
    "site/worker.service.j2": "php-cluster-worker-mail@1.service",
}
VALUES = {
    "version": RELEASE.php,
    "etc": f"/etc/php/{RELEASE.php}/fpm",
    "conf": "/etc/php-cluster/fpm.conf",
    "program": "/usr/lib/php-cluster/keep-mounted",
    "answered": "/run/php-cluster/mount-answered",
    "unit": "media-sessions.mount",
    "volume_file": "/etc/php-cluster/arbiter.vol",
    "MOUNT_POINT": topology.MOUNT_POINT,
    "BRICK_DISK": topology.SHARED_BRICK_DISK,
    "MEMBERS": "http://198.18.7.11:8405/members;csv http://198.18.7.12:8405/members;csv",
    "KNOCK_PORT": "24007",
    "DRAIN_SECONDS": "30",
    "SOCKET": SOCKET,
    "NAME": "php1",
    "ADDRESS": "198.18.7.21",
    "PORT": "8408",
    "RANK": "0",
    "PEER": "lb2",
    "FLOATING_IP": "198.18.7.10",
    "FOLDER": topology.ARBITER_FOLDER,
    "ARBITER_FOLDER": topology.ARBITER_FOLDER,
    "BRICKS_OF": "lb1 lb2",
    "FIRST_BRICK_PORT": "49152",
    "QUORUM": "2",
    "WITNESS": "198.18.7.21",
    "BRICK_ADDRESSES": "198.18.7.11 198.18.7.12",
}
"""What put_unit puts in the place of names between @ and @."""

WORKERS, CRON = (Worker("mail", "php worker.php", 1, 30),), (CronEntry("hourly", "hourly", "php cron.php"),)
JOBS = jobs_of(ApplicationSettings("", (), {}, (), (), 60, CRON, WORKERS, {}))

VERIFY = """
mkdir -p "$(dirname /etc/systemd/system/UNIT)" /usr/lib/php-cluster
for program in watch-balancer elastic-ip keep-mounted serve-php run-once collect-metrics acme-certificate \\
    cluster-changes session-service; do
    install --mode=755 /bin/true /usr/lib/php-cluster/$program
done
printf '[Mount]\\nWhat=x\\nWhere=/media/sessions\\n' >/etc/systemd/system/media-sessions.mount
# A socket is judged with what it starts, a timer with what it requires.
printf '[Service]\\nExecStart=/bin/true\\n' >/etc/systemd/system/php-cluster-changes@.service
printf '[Socket]\\nListenStream=/run/socket\\nAccept=yes\\n' >/etc/systemd/system/php-cluster-changes.socket
cp /files/file /etc/systemd/system/UNIT
! systemd-analyze verify --man=no NAME 2>&1 | grep php-cluster
"""


def unit_text(file: str) -> str:
    if file.endswith(".j2"):
        [text] = [text for path, text in JOBS.files.items() if Path(path).name == UNITS[file].replace("@1", "@")]
        return text
    return re.sub(r"@(\w+)@", lambda name: VALUES[name[1]], (HOST_SCRIPTS / file).read_text())


@pytest.mark.parametrize("file", UNITS)
def test_systemd_takes_it(image: Image, tmp_path: Path, file: str) -> None:
    name = UNITS[file].partition(".d/")[0]
    verify = VERIFY.replace("UNIT", UNITS[file]).replace("NAME", name)
    text = unit_text(file)
    (tmp_path / "file").write_text(text)
    done = image.run(verify, tmp_path)
    assert done.returncode == 0, done.stdout

    # A key of another name, which systemd ignores with a warning.
    (tmp_path / "file").write_text(text.replace("=", "s=", 1))
    done = image.run(verify, tmp_path)
    assert done.returncode != 0 and "Unknown key" in done.stdout, done.stdout


MOST_EXPOSED = 49
"""What `systemd-analyze security` may say of a service of ours, in tenths: below 5.0 of 10, which it calls OK."""


@pytest.mark.parametrize("file", [file for file in UNITS if ".service" in file])
def test_services_are_confined(image: Image, tmp_path: Path, file: str) -> None:
    (tmp_path / UNITS[file]).write_text(unit_text(file))
    judge = f"systemd-analyze security --no-pager --offline=yes --threshold={MOST_EXPOSED} /files/{UNITS[file]}"
    done = image.run(judge, tmp_path)
    assert done.returncode == 0 and "Overall exposure" in done.stdout, done.stdout


def test_no_unit_is_left_out() -> None:
    endings = (".service", ".socket", ".timer", ".drop-in.conf", ".service.j2", ".timer.j2")
    files = {str(path.relative_to(HOST_SCRIPTS)) for path in HOST_SCRIPTS.rglob("*") if path.name.endswith(endings)}
    assert files == set(UNITS)
    for script in HOST_SCRIPTS.rglob("*.sh"):
        assert "[Unit]" not in script.read_text() and "[Service]" not in script.read_text(), script


def test_php_files_compile(image: Image) -> None:
    files = [*PROJECT.glob("scripts/hosts/**/*.php"), *PROJECT.glob("app/**/*.php")]
    assert len(files) > 3
    for file in files:
        done = image.run(f"php -l /files/{file.name}", file.parent)
        assert done.returncode == 0, done.stdout
