"""A stack's network beside a firewall that drops what it doesn't know; in namespaces, unseen by this box."""

from tests.commands import said

# Mounts of its own: the lab's folder is empty, and records and names of namespaces go with it.
SETUP = """
set -euo pipefail
mount -t tmpfs none /var/lib
mkdir /var/lib/empty
mount -t sysfs none /sys
mount -t tmpfs none /run
ip link set lo up
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
export LAB=abc123 STACK=test-net CHECKOUT=x NETWORK=198.18.9.0/24 GATEWAY=198.18.9.1
state() { nft --stateless list ruleset; cat /proc/sys/net/ipv4/ip_forward; ip -brief link | awk '{ print $1 }'; }
"""

# What Docker does to a box.
FIREWALL = """
nft add table ip filter
nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'
nft add rule ip filter FORWARD iifname docker0 accept
"""


def in_namespaces(script: str) -> str:
    return said("unshare", "--net", "--mount", "--uts", "bash", "-c", SETUP + script)


def test_up_twice_is_up_once_and_down_puts_everything_back() -> None:
    for firewall in (FIREWALL, ""):
        output = in_namespaces(
            firewall
            + """
            echo 0 >/proc/sys/net/ipv4/ip_forward
            before=$(state)
            scripts/lab/network up && once=$(state)
            scripts/lab/network up && [[ $(state) == "$once" ]] || { echo "the second run changed something"; exit 1; }
            [[ $once != "$before" ]] || { echo "the first run changed nothing"; exit 1; }
            scripts/lab/network down
            [[ $(state) == "$before" ]] || { echo "not as before:"; diff <(echo "$before") <(state); exit 1; }
            """
        )
        assert "network 198.18.9.0/24 on bridge pc-abc123" in output


def test_what_a_machine_sends_is_acknowledged_at_once() -> None:
    output = in_namespaces("scripts/lab/network up; scripts/lab/network up; ip route show 198.18.9.0/24")
    routes = [line.split() for line in output.splitlines() if "198.18.9.1" in line and "dev" in line]
    assert [route[-2:] for route in routes] == [["quickack", "1"]], output


def test_ipv6_comes_and_goes_with_its_gateway() -> None:
    """Also on a box on which IPv6 is switched off, as it is in most containers."""
    output = in_namespaces(
        """
        echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
        ipv6() { echo "$1 $(ip -6 -oneline address show dev pc-$LAB scope global | awk '{ print $4 }')"; }
        scripts/lab/network up; ipv6 none
        GATEWAY6=fd00:9::1 scripts/lab/network up; ipv6 first
        GATEWAY6=fd00:9::1 scripts/lab/network up; ipv6 second
        scripts/lab/network up; ipv6 gone
        scripts/lab/network down
        """
    )
    said = [line.split() for line in output.splitlines() if line.split()[0] in ("none", "first", "second", "gone")]
    assert said == [["none"], ["first", "fd00:9::1/64"], ["second", "fd00:9::1/64"], ["gone"]], output


def test_forwarding_stays_on_until_the_last_lab_goes() -> None:
    output = in_namespaces(
        """
        echo 0 >/proc/sys/net/ipv4/ip_forward
        scripts/lab/network up
        LAB=def456 NETWORK=198.18.10.0/24 GATEWAY=198.18.10.1 scripts/lab/network up
        scripts/lab/network down; echo "forwarding $(cat /proc/sys/net/ipv4/ip_forward)"
        LAB=def456 scripts/lab/network down; echo "forwarding $(cat /proc/sys/net/ipv4/ip_forward)"
        """
    )
    assert [line for line in output.splitlines() if line.startswith("forwarding")] == ["forwarding 1", "forwarding 0"]


def test_packets_pass_a_firewall_that_drops() -> None:
    """One host behind the bridge, one outside: only with the lab's rules does an answer come back."""
    hosts = """
    ip netns add inside; ip netns add outside
    ip link add out0 type veth peer name eth0 netns outside
    ip address add 198.18.200.1/24 dev out0; ip link set out0 up
    ip -n outside address add 198.18.200.2/24 dev eth0; ip -n outside link set eth0 up
    scripts/lab/network up
    ip link add in0 type veth peer name eth0 netns inside
    ip link set in0 master pc-$LAB up
    ip -n inside address add 198.18.9.20/24 dev eth0; ip -n inside link set eth0 up
    ip -n inside route add default via 198.18.9.1
    ip netns exec outside python3 -m http.server --directory /var/lib/empty --bind 198.18.200.2 80 >/dev/null 2>&1 &
    answers() { ip netns exec inside curl --silent --output /dev/null --max-time 2 http://198.18.200.2/; }
    for attempt in {1..30}; do answers && break || sleep 0.5; done
    answers || { echo "no way out"; exit 1; }
    """
    in_namespaces(FIREWALL + hosts)
    # And the firewall of this test does drop.
    in_namespaces(
        FIREWALL + hosts + "nft flush chain ip filter FORWARD; ! answers || { echo 'it lets everything pass'; exit 1; }"
    )


def test_a_network_in_use_is_refused_with_a_free_one() -> None:
    output = in_namespaces(
        """
        ip link add lan0 type bridge; ip address add 198.18.9.77/24 dev lan0; ip link set lan0 up
        if scripts/lab/network up; then echo "a network in use was taken"; exit 1; fi
        [[ ! -e /sys/class/net/pc-abc123 ]] || { echo "a bridge was made"; exit 1; }
        """
    )
    assert "198.18.9.0/24" in output and "pulumi config set network 198." in output
