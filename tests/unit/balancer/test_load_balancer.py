"""The text of HAProxy's and keepalived's configuration; tests/lab has the daemons judge it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from components.balancer.load_balancer import CROWDS, PRIORITIES, haproxy_configuration, keepalived_configuration
from components.php.node import nginx_site
from components.plan import topology
from components.plan.limits import USUAL, Limits
from components.plan.php_settings import HEADER_KIB
from components.plan.topology import Profile, Topology
from components.steps.host_scripts import HOST_SCRIPTS

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


def test_a_request_is_one_line_that_names_no_session() -> None:
    [line] = re.findall(r'^    log-format "(.*)"$', haproxy(), re.MULTILINE)
    assert all(field in line.split() for field in ("id=%ID", "node=%s", "total=%Ta", "session=%[var(txn.session)]"))
    # Neither cookies nor what follows the path.
    assert line.split()[-2:] == ["%HM", "%HPO"] and "req." not in line and "option httplog" not in haproxy()
    hashed = re.findall(r"set-var\(txn.session\) \S+", haproxy())
    assert [each.split()[1] for each in hashed] == [
        f"{way}.cook(PHPSESSID),sha2(256),hex,bytes(0,12),lower" for way in ("req", "res")
    ]


def test_maintenance_closes_all_but_the_page_that_is_watched() -> None:
    def closing(health_path: str) -> str:
        text = haproxy_configuration(PLAN, 0, "hidden", tls=True, request_seconds=60, health_path=health_path)
        [line] = re.findall(r"^    http-request return status 503 .* (if .*)$", text, re.MULTILINE)
        # Not before the way to TLS, and before anybody waits for PHP.
        assert text.index("redirect location") < text.index("return status 503") < text.index("track-sc0")
        return str(line)

    assert closing("/") == closing("/?a=1") == "if { var(txn.retry_after) -m found }"
    assert closing("/up/?a=1") == "if { var(txn.retry_after) -m found } !{ path /up/ }"


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


def numbers(pattern: str, text: str) -> list[int]:
    return [int(number) for number in re.findall(pattern, text, re.MULTILINE)]


def test_no_port_takes_another_one_s_places() -> None:
    text = haproxy_configuration(PLAN, 0, "hidden", tls=True, request_seconds=60, metrics=True)
    frontends = re.findall(r"^frontend (\w+)\n    maxconn (\d+)$", text, re.MULTILINE)
    assert [name for name, _ in frontends] == re.findall(r"^frontend (\w+)$", text, re.MULTILINE)
    [whole] = numbers(r"^global\n(?:    .*\n)*?    maxconn (\d+)$", text)
    assert sum(int(number) for _, number in frontends) <= whole
    # Strangers who knock at the statistics page leave room for watch-balancer, and for the other balancer.
    assert "reject if !{ src 127.0.0.0/8 198.18.7.12 } { fe_conn gt 100 }" in text


@pytest.mark.parametrize(("nodes", "workers", "at_once", "from_one_source"), [(2, 8, 6, 4), (1, 8, 6, 2), (1, 1, 1, 1)])
def test_one_source_leaves_workers_to_others(nodes: int, workers: int, at_once: int, from_one_source: int) -> None:
    plan = topology.plan("198.18.7.0/24", nodes, Profile.SAFE)

    def text(limits: Limits) -> str:
        return haproxy_configuration(
            plan, 0, "hidden", tls=False, request_seconds=60, workers=workers, at_once=at_once, limits=limits
        )

    queued, places = (
        r"use_backend crowded-\S+ if \{ sc1_conn_cur gt (\d+) \}",
        r"backend crowded-\d\n(?:    .*\n)*? .* maxconn (\d+)$",
    )
    assert numbers(queued, text(USUAL)) == [from_one_source]
    assert numbers(places, text(USUAL)) == [from_one_source // nodes] * CROWDS
    assert numbers(queued, text(Limits(requests_at_once=41))) == [20]
    assert numbers(places, text(Limits(requests_at_once=41))) == [-(-20 // nodes)] * CROWDS
    # The rest waits at the balancer.
    assert numbers(r"^    default-server check .* maxconn (\d+)$", text(USUAL)) == [4 * workers] * 2


def test_a_node_is_drained_everywhere() -> None:
    backends = set(re.findall(r"^backend (\S+)\n(?:    .*\n)*?    server php1 ", haproxy(), re.MULTILINE))
    assert backends == {"php", "in_turn", "waiting", *(f"crowded-{number}" for number in range(CROWDS))}
    assert f"php in_turn waiting crowded-{{0..{CROWDS - 1}}})" in (HOST_SCRIPTS / "balancer/haproxy.sh").read_text()


def test_a_source_is_refused_beyond_its_limits() -> None:
    limits = Limits(requests_per_second=7, sessions_per_second=3, connections=50)
    text = haproxy_configuration(PLAN, 0, "hidden", tls=False, request_seconds=60, limits=limits)
    assert numbers(r"acl too_many sc1_http_req_rate gt (\d+)", text) == [70]
    assert numbers(r"acl too_many sc1_gpc0_rate gt (\d+)", text) == [30]
    assert numbers(r"acl too_many sc1_conn_cur gt (\d+)", text) == [50]
    # Closed only when it has been refused for long.
    assert numbers(r"reject if \{ sc2_conn_cur gt (\d+) \}", text) == [50, 5]
    assert numbers(r"reject if \{ sc2_conn_rate gt (\d+) \}", text) == [140]
    assert text.index("tarpit deny_status 429 hdr Retry-After 10 if too_many") < text.index("use_backend")


def test_a_source_is_the_visitor_whom_a_proxy_names() -> None:
    proxies, office = ("203.0.113.0/24", "2001:db8::/32"), Limits(exempt=("192.0.2.0/28",))

    def text(*, proxy_protocol: bool) -> str:
        return haproxy_configuration(
            PLAN,
            0,
            "hidden",
            tls=False,
            request_seconds=60,
            trusted_proxies=proxies,
            proxy_protocol=proxy_protocol,
            limits=office,
        )

    by_headers, by_protocol = text(proxy_protocol=False), text(proxy_protocol=True)
    named = r"req.hdr_ip\(X-Forwarded-For,-(\d)\) if { var\(txn.source\) -m ip 203.0.113.0/24 2001:db8::/32 }"
    # The last one who is no proxy, before this balancer adds the one that it sees.
    assert numbers(named, by_headers) == [1, 2, 3]
    assert by_headers.index("req.hdr_ip(X-Forwarded-For,-3)") < by_headers.index("add-header X-Forwarded-For")
    assert "acl unlimited src 192.0.2.0/28 203.0.113.0/24 2001:db8::/32\n" in by_headers
    assert "tcp-request connection track-sc2" in by_headers
    # Before the PROXY protocol's line has been read, all connections are the proxy's.
    assert "hdr_ip" not in by_protocol and "acl unlimited src 192.0.2.0/28\n" in by_protocol
    assert "tcp-request session track-sc2" in by_protocol and "connection track" not in by_protocol


def test_health_checks_ask_a_page_without_a_session() -> None:
    assert "http-check send meth GET uri /health" in haproxy()
    assert haproxy().count("check port 8406 ") == 2


def test_all_limits_of_headers_are_one() -> None:
    assert f"tune.bufsize {HEADER_KIB * 1024}\n" in haproxy()
    nginx = nginx_site(PLAN, {}, 60)
    assert f"large_client_header_buffers 4 {HEADER_KIB}k;" in nginx and f"fastcgi_buffer_size {HEADER_KIB}k;" in nginx


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


def test_visitors_may_come_by_ipv6() -> None:
    with_ipv6 = replace(PLAN, floating_ip6="2001:db8::10")

    def haproxy_of(plan: Topology, **more: Any) -> list[str]:
        return haproxy_configuration(plan, 0, "hidden", request_seconds=60, **more).splitlines()

    added = {line.strip() for line in haproxy_of(with_ipv6, tls=True)} - {
        line.strip() for line in haproxy_of(PLAN, tls=True)
    }
    assert added == {
        "bind :::80 v6only",
        "bind :::443 v6only ssl crt /etc/haproxy/php-cluster.pem alpn h2,http/1.1",
    }
    # The ports of machines and operators stay at IPv4, where the packet filter knows the machines.
    assert sum(line.startswith("    bind :::") for line in haproxy_of(with_ipv6, tls=False)) == 1
    text = keepalived_configuration(with_ipv6, 0, "eth0")
    excluded = "    virtual_ipaddress_excluded {\n        2001:db8::10/128 dev eth0\n    }\n"
    assert excluded in text and "2001" not in text.replace(excluded, "")
    assert "excluded" not in keepalived_configuration(PLAN, 0, "eth0")


@pytest.mark.parametrize(
    ("host", "taken"), [("[2001:db8::10]", True), ("[2001:db8::10]:8443", True), ("shop.example", True), ("[x]", False)]
)
def test_a_proxy_may_name_an_ipv6_address_as_the_host(host: str, taken: bool) -> None:
    text = haproxy_configuration(
        replace(PLAN, floating_ip6="2001:db8::10"),
        0,
        "hidden",
        tls=False,
        request_seconds=60,
        trusted_proxies=("203.0.113.0/24",),
    )
    [pattern] = re.findall(r"req\.hdr\(X-Forwarded-Host,1\) -m reg (\S+) }", text)
    assert bool(re.search(pattern, host)) is taken


def test_both_balancers_advertise_the_same_when_the_cloud_moves_the_address() -> None:
    texts = [keepalived_configuration(PLAN, index, None, ("10.64.0.10", "10.64.2.10")) for index in (0, 1)]
    blocks = [re.search(r"virtual_ipaddress {(.*?)}", text, re.DOTALL) for text in texts]
    assert blocks[0] and blocks[1] and blocks[0][1] == blocks[1][1]
    assert re.findall(r"(\S+) dev @INTERFACE@", texts[0]) == ["10.64.0.10/32", "10.64.2.10/32"]
    assert all("vrrp_notify_fifo /run/php-cluster-vrrp" in text for text in texts)
    assert "vrrp_notify_fifo" not in keepalived_configuration(PLAN, 0, "eth0")
