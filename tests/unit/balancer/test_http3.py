"""HTTP/3: what HAProxy is told, and where it is refused. tests/stack asks for it as a browser does."""

import re
from dataclasses import replace
from typing import Any

import pytest

from components.balancer.load_balancer import HTTP3_SECONDS, QUIC_BACKLOG, Http3, haproxy_configuration
from components.plan import topology
from components.plan.config_values import ConfigError
from components.plan.debian import RELEASES, check_http3
from components.plan.topology import Profile
from tests.unit.graph import SECRET, cluster_graph
from tests.unit.test_graph import revealed

PLAN = topology.plan("198.18.7.0/24", 2, Profile.SAFE)
ASKING: dict[str, Any] = {"acme": {"email": "admin@example.org"}, "siteName": "www.example.org", "http3": True}
OF_BOTH = Http3(("198.18.7.10", "2001:db8::10"), "s" * 48)


def haproxy(**values: Any) -> str:
    return haproxy_configuration(PLAN, 0, "hidden", tls=True, request_seconds=60, **values)


def test_quic_is_taken_at_the_floating_addresses_alone() -> None:
    """From a socket of all addresses, a retry would come from the machine's own, and no visitor knows that one."""
    text = haproxy(http3=OF_BOTH)
    binds = re.findall(
        r"^    bind quic(\d)@(\S+):443 transparent ssl crt \S+ alpn h3 backlog (\d+)$", text, re.MULTILINE
    )
    assert binds == [("4", "198.18.7.10", str(QUIC_BACKLOG)), ("6", "2001:db8::10", str(QUIC_BACKLOG))]
    assert text.count("quic4@") == text.count("quic6@") == 1


def test_handshakes_take_nobody_s_places() -> None:
    [without, one, both] = [
        int(re.findall(r"^    maxconn (\d+)$", text, re.MULTILINE)[0])
        for text in (haproxy(), haproxy(http3=replace(OF_BOTH, addresses=("198.18.7.10",))), haproxy(http3=OF_BOTH))
    ]
    assert (one - without, both - without) == (QUIC_BACKLOG, 2 * QUIC_BACKLOG)


def test_a_proxy_is_not_told_of_it() -> None:
    told = f'    http-after-response set-header Alt-Svc "h3=\\":443\\"; ma={HTTP3_SECONDS}" if {{ ssl_fc }}'
    assert f"{told}\n" in haproxy(http3=OF_BOTH)
    assert f"{told} !from_proxy\n" in haproxy(http3=OF_BOTH, trusted_proxies=("203.0.113.0/24",))


def test_without_it_nothing_is_as_it_would_be_with_it() -> None:
    for word in ("quic", "Alt-Svc", "setcap", "cluster-secret"):
        assert word in haproxy(http3=OF_BOTH) and word not in haproxy()


def test_both_balancers_have_one_secret() -> None:
    graph, plain = cluster_graph(phpNodes=2, **ASKING), cluster_graph(phpNodes=2)
    assert graph["http3-secret"].needs == set() and "http3-secret" not in plain
    texts = [str(revealed(graph[f"{name}-haproxy"].inputs["stdin"])) for name in ("lb1", "lb2")]
    assert all("http3-secret" in graph[f"{name}-haproxy"].needs for name in ("lb1", "lb2"))
    assert [re.findall(r"cluster-secret (.+)", text) for text in texts] == [[SECRET], [SECRET]]


def test_each_balancer_has_to_speak_quic() -> None:
    check_http3({"lb1": RELEASES[13], "lb2": RELEASES[13]})
    with pytest.raises(
        ConfigError, match=r"http3 is true, and lb2 runs Debian 12;(?s:.*)since Debian 13(?s:.*)http3 false"
    ):
        check_http3({"lb1": RELEASES[13], "lb2": RELEASES[12]})
