"""The text of HAProxy's and keepalived's configuration; tests/lab has the daemons judge it."""

import re
from typing import Any

from components.balancer.load_balancer import PRIORITIES, haproxy_configuration, keepalived_configuration
from components.php.node import nginx_site
from components.plan import topology
from components.plan.php_settings import HEADER_KIB
from components.plan.topology import Profile

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


def test_both_balancers_advertise_the_same_when_the_cloud_moves_the_address() -> None:
    texts = [keepalived_configuration(PLAN, index, None, ("10.64.0.10", "10.64.2.10")) for index in (0, 1)]
    blocks = [re.search(r"virtual_ipaddress {(.*?)}", text, re.DOTALL) for text in texts]
    assert blocks[0] and blocks[1] and blocks[0][1] == blocks[1][1]
    assert re.findall(r"(\S+) dev @INTERFACE@", texts[0]) == ["10.64.0.10/32", "10.64.2.10/32"]
    assert all("vrrp_notify_fifo /run/php-cluster-vrrp" in text for text in texts)
    assert "vrrp_notify_fifo" not in keepalived_configuration(PLAN, 0, "eth0")
