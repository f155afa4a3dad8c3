"""The text of every configuration file. Whether the daemons take it is judged in tests/lab, by the daemons."""

import re
from typing import Any

import pytest

from components.balancer.load_balancer import HEADER_KIB, PRIORITIES, haproxy_configuration, keepalived_configuration
from components.base.packet_filter import packet_filter
from components.php.mount import fstab_line
from components.php.node import SETTINGS_SERVERS, WebRules, fpm_configuration, nginx_site, php_ini
from components.plan import topology
from components.plan.php_settings import ini_value
from components.plan.topology import Profile
from components.sessions.extension import extension_file
from tests.commands import PROJECT

PLAN = topology.plan("198.18.7.0/24", 3, Profile.SAFE)


def haproxy(*, tls: bool = False) -> str:
    return haproxy_configuration(PLAN, 0, "hidden", tls=tls, request_seconds=60)


def test_haproxy_balances_over_every_node() -> None:
    servers = re.findall(r"^    server (\S+) (\S+)$", haproxy(), re.MULTILINE)
    nodes = [(f"php{number}", f"198.18.7.{20 + number}:80") for number in (1, 2, 3)]
    # Once for good days, once for the moments in which no mount answers; and the other balancer, to be watched.
    assert servers == [*nodes, *nodes, ("lb2", "198.18.7.12:8404")]


def test_haproxy_speaks_https_only_with_a_certificate() -> None:
    assert "ssl crt" not in haproxy() and "redirect" not in haproxy()
    assert "bind *:443 ssl crt /etc/haproxy/php-cluster.pem" in haproxy(tls=True)
    assert "redirect location https://" in haproxy(tls=True)


def test_a_proxy_is_believed_only_where_it_is_trusted() -> None:
    plain = haproxy_configuration(PLAN, 0, "hidden", tls=True, request_seconds=60)
    assert "from_proxy" not in plain and "expect-proxy" not in plain
    arguments: dict[str, Any] = {
        "tls": True,
        "request_seconds": 60,
        "trusted_proxies": ("203.0.113.0/24", "2001:db8::/32"),
    }
    by_headers = haproxy_configuration(PLAN, 0, "hidden", **arguments)
    assert "acl from_proxy src 203.0.113.0/24 2001:db8::/32\n" in by_headers and "expect-proxy" not in by_headers
    for line in by_headers.splitlines():
        # Nothing of what is sent is looked at but from there.
        if "req.hdr(X-Forwarded" in line:
            assert "if from_proxy" in line, line
    by_protocol = haproxy_configuration(PLAN, 0, "hidden", **arguments, proxy_protocol=True)
    assert "tcp-request connection expect-proxy layer4 if from_proxy\n" in by_protocol
    assert "req.hdr(X-Forwarded" not in by_protocol


def test_all_limits_of_headers_are_one() -> None:
    assert f"tune.bufsize {HEADER_KIB * 1024}\n" in haproxy()
    nginx = nginx_site(PLAN, {}, 60)
    assert f"large_client_header_buffers 4 {HEADER_KIB}k;" in nginx and f"fastcgi_buffer_size {HEADER_KIB}k;" in nginx


def test_a_page_that_hangs_ends_after_whoever_asked_for_a_session_in_time() -> None:
    safe, article = (fpm_configuration(profile, 5, request_seconds=100) for profile in (Profile.SAFE, Profile.ARTICLE))
    assert "request_terminate_timeout = 160\n" in safe
    # PHP's own handler waits in the lock, where a signal can stop the mount.
    assert "request_terminate_timeout" not in article
    assert "max_execution_time = 100\n" in php_ini(Profile.SAFE, {}, 100, 5)


def test_nobody_but_balancers_gets_to_the_inner_ports() -> None:
    assert "tcp dport { 80, 8406 } tcp flags & (syn | ack) == syn jump balancers_only" in packet_filter(
        PLAN, PLAN.php_nodes[0]
    )
    assert "tcp dport 8405 tcp flags & (syn | ack) == syn jump members_only" in packet_filter(PLAN, PLAN.balancers[0])


def test_the_trial_of_settings_is_a_server_of_its_own() -> None:
    text = nginx_site(PLAN, {}, 60, servers=SETTINGS_SERVERS)
    assert re.findall(r"listen (\S+);", text) == ["127.0.0.1:8082"]
    assert "unix:/run/php-cluster/site-trial.sock" in text and "site.sock" not in text


def test_health_checks_ask_a_page_without_a_session() -> None:
    assert "http-check send meth GET uri /health" in haproxy()
    assert haproxy().count("check port 8406 ") == 2


def test_the_balancers_watch_each_other() -> None:
    texts = [keepalived_configuration(PLAN, index, "eth0") for index in (0, 1)]
    for text, own, other in zip(texts, ("11", "12"), ("12", "11"), strict=True):
        assert f"unicast_src_ip 198.18.7.{own}" in text
        assert re.search(rf"unicast_peer {{\s+198\.18\.7\.{other}\s+}}", text)
        assert "198.18.7.10/24 dev eth0" in text
        assert "state BACKUP" in text and "nopreempt" in text and "vrrp_version 3" in text
    assert PRIORITIES[0] != PRIORITIES[1]
    routers = {re.search(r"virtual_router_id (\d+)", text)[1] for text in texts}  # type: ignore[index]
    assert len(routers) == 1 and 1 <= int(routers.pop()) <= 255


def test_both_balancers_advertise_the_same_when_the_cloud_moves_the_address() -> None:
    texts = [keepalived_configuration(PLAN, index, None, ("10.64.0.10", "10.64.2.10")) for index in (0, 1)]
    blocks = [re.search(r"virtual_ipaddress {(.*?)}", text, re.DOTALL) for text in texts]
    assert blocks[0] and blocks[1] and blocks[0][1] == blocks[1][1]
    assert re.findall(r"(\S+) dev @INTERFACE@", texts[0]) == ["10.64.0.10/32", "10.64.2.10/32"]
    assert all("vrrp_notify_fifo /run/php-cluster-vrrp" in text for text in texts)
    assert "vrrp_notify_fifo" not in keepalived_configuration(PLAN, 0, "eth0")


def test_only_the_peers_packets_are_admitted() -> None:
    assert "ip protocol 112 ip saddr != 198.18.7.12 drop" in packet_filter(PLAN, PLAN.balancers[0])
    assert "ip protocol 112 ip saddr != 198.18.7.11 drop" in packet_filter(PLAN, PLAN.balancers[1])


def test_fstab_lines() -> None:
    assert fstab_line(Profile.ARTICLE) == "lb1:/sessions /media/sessions glusterfs defaults,_netdev 0 0"
    device, place, kind, options, *numbers = fstab_line(Profile.SAFE).split()
    assert (device, place, kind, numbers) == ("lb1:/sessions", "/media/sessions", "glusterfs", ["0", "0"])
    assert {"_netdev", "backup-volfile-servers=lb2", "direct-io-mode=enable", "auto-invalidation=on"} <= set(
        options.split(",")
    )


def test_php_keeps_its_sessions_on_the_mount() -> None:
    article, safe = php_ini(Profile.ARTICLE, {}, 60, 8), php_ini(Profile.SAFE, {"memory_limit": "256M"}, 60, 8)
    assert 'session.save_path = "/media/sessions"' in article and "php_cluster" not in article
    assert f"extension = {extension_file()}\n" in safe and 'php_cluster.folder = "/media/sessions"' in safe
    assert "php_cluster.waiting_places = 6\n" in safe and 'memory_limit = "256M"' in safe


def test_a_user_has_the_last_word() -> None:
    """PHP takes the last of two lines; what the session store needs is refused in settings instead."""
    lines = php_ini(Profile.SAFE, {"session.use_strict_mode": "0"}, 60, 8).splitlines()
    assert lines[-2:] == ['session.use_strict_mode = "0"', "; The site's own settings end here."]


@pytest.mark.parametrize(
    ("setting", "of_site", "limit"),
    [
        ({}, (), "8m"),
        ({"post_max_size": "64M"}, (), "64m"),
        ({"post_max_size": "a lot"}, (), "8m"),
        ({}, ("64M", "1G", "2M"), "1g"),
        ({"post_max_size": "100M"}, ("64M",), "100m"),
        ({"post_max_size": "0"}, ("64M",), "0"),
    ],
)
def test_nginx_takes_what_php_takes(setting: dict[str, str], of_site: tuple[str, ...], limit: str) -> None:
    assert f"client_max_body_size {limit};" in nginx_site(PLAN, setting, 60, WebRules(post_max_sizes=of_site))


def test_only_balancers_say_who_the_visitor_is() -> None:
    trusted = re.findall(r"set_real_ip_from (\S+);", nginx_site(PLAN, {}, 60))
    # On the site that serves and on the one that is tried.
    assert trusted == ["198.18.7.11", "198.18.7.12"] * 2
    trusted = re.findall(r"set_real_ip_from (\S+);", nginx_site(PLAN, {}, 60, WebRules(believed=("203.0.113.0/24",))))
    assert trusted == ["198.18.7.11", "198.18.7.12", "203.0.113.0/24"] * 2


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("E_ALL & ~E_DEPRECATED", "E_ALL & ~E_DEPRECATED"),
        ("(E_ALL|E_STRICT)^E_NOTICE", "(E_ALL|E_STRICT)^E_NOTICE"),
        ("E_ALL", "E_ALL"),
        ("256M", '"256M"'),
        ("-1", '"-1"'),
        ("UTF-8", '"UTF-8"'),
        ("Europe/Berlin", '"Europe/Berlin"'),
        ("exec,system", '"exec,system"'),
        (";&", '";&"'),
        ("on", '"on"'),
        ("a = b; c", '"a = b; c"'),
        ("", '""'),
    ],
)
def test_php_works_out_constants_and_takes_all_else_as_it_is(value: str, written: str) -> None:
    assert ini_value(value) == written


def test_workers() -> None:
    assert "pm.max_children = 5" in fpm_configuration(Profile.SAFE, 5)


def test_programs_of_ours_run_none_of_the_site_s_code() -> None:
    """A site may prepend a file to its pages (phpSettings); whoever takes its ini files has to leave that out."""
    lines = [
        line
        for script in (PROJECT / "scripts" / "hosts").rglob("*.s[eh]*")
        for line in script.read_text().splitlines()
        if re.search(r"\bphp -c ", line)
    ]
    assert len(lines) == 3
    for line in lines:
        assert "-d auto_prepend_file= -d auto_append_file= " in line, line
