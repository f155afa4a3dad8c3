"""Packets that get lost on one way and not on others; in namespaces, unseen by this box."""

from tests.commands import PROJECT
from tests.lab.test_network import in_namespaces

# Three hosts where machines would be.
HOSTS = """
CHECKOUT=$(cat "$IDENTITY")
scripts/lab/network up >/dev/null
declare -A address=([box]=198.18.9.1 [lb1]=198.18.9.21 [lb2]=198.18.9.22 [php1]=198.18.9.23)
number=20
for name in lb1 lb2 php1; do
    mkdir -p /var/lib/php-cluster/labs/$LAB/machines/$name
    ip netns add $name
    ip link add vb-$LAB-$name type veth peer name eth0 netns $name
    ip link set vb-$LAB-$name master pc-$LAB up
    ip -n $name link set eth0 address 02:00:00:00:00:$((number += 1)) up
    ip -n $name address add ${address[$name]}/24 dev eth0
done
on() { if [[ $1 == box ]]; then "${@:2}"; else ip netns exec "$@"; fi; }
# packets FROM TO: how many of twenty datagrams arrive.
packets() {
    on $2 python3 -c '
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("", 7777))
print("listens", flush=True)
receiver.settimeout(2)
count = 0
try:
    while count < 20:
        receiver.recv(9)
        count += 1
except TimeoutError:
    pass
print(count)' >/run/received &
    until grep --quiet listens /run/received 2>/dev/null; do sleep 0.01; done
    on $1 python3 -c '
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(20):
    sender.sendto(b"packet", (sys.argv[1], 7777))' ${address[$2]}
    wait $!
    tail --lines=1 /run/received
    rm /run/received
}
expect() { [[ $(packets $1 $2) == "$3" ]] || { echo "$1 to $2: not $3 packets"; exit 1; }; }
drop() { scripts/lab/drop --stack test-net "$@"; }
forget() { (source scripts/lab/lib.sh && source scripts/lab/drops.sh && forget_drops_of $1); }
# Every host knows every other one's hardware address: nobody has to ask, and to wait for an answer on the other way.
for one in ${!address[*]}; do
    for number in 21 22 23; do
        [[ $one == box ]] && port=pc-$LAB || port=eth0
        on $one ip neighbour replace 198.18.9.$number lladdr 02:00:00:00:00:$number dev $port nud permanent
        [[ $one == box ]] || on $one ip neighbour replace 198.18.9.1 lladdr 02:00:00:ab:c1:23 dev eth0 nud permanent
    done
done
tables=$(nft list tables)
"""


def on_hosts(script: str) -> str:
    return in_namespaces(f"IDENTITY={PROJECT}/.cluster/identity\n{HOSTS}\n{script}")


def test_one_way_is_lost_and_found_again() -> None:
    on_hosts(
        """
        drop lb1 lb2
        expect lb1 lb2 0; expect lb2 lb1 20; expect lb1 php1 20; expect php1 lb2 20; expect lb1 box 20
        forget lb2
        expect lb1 lb2 20
        [[ $(nft list tables) == "$tables" ]] || { echo "a table is left"; exit 1; }
        """
    )


def test_all_stands_for_the_other_machines_and_the_box() -> None:
    on_hosts(
        """
        drop lb1 all
        expect lb1 box 0; expect lb1 php1 0; expect php1 lb1 20; expect box lb1 20
        drop all php1
        expect box php1 0; expect lb2 php1 0; expect php1 box 20
        forget lb1
        expect lb1 box 20; expect lb2 php1 0
        """
    )


def test_some_packets_at_random() -> None:
    on_hosts(
        """
        drop all lb1 50
        came=$(packets php1 lb1); ((came > 0 && came < 20)) || { echo "$came of 20 came through"; exit 1; }
        drop all lb1 100; expect php1 lb1 0
        drop all lb1 1; (($(packets php1 lb1) > 10)) || { echo "1 % is no less than 100 %"; exit 1; }
        """
    )


def test_wrong_arguments_are_named() -> None:
    output = on_hosts(
        """
        for words in "lb1 lb9" "lb1 lb1" "lb1 all 0" "lb1 all 101" "lb1"; do
            ! drop $words || { echo "took $words"; exit 1; }
        done
        [[ $(nft list tables) == "$tables" ]] || { echo "a table was made"; exit 1; }
        """
    )
    assert "stack test-net has no machine lb9, only: lb1 lb2 php1" in output
    assert "FROM and TO are both lb1; name two machines, or one and all" in output
    assert "usage: drop [--stack NAME] FROM TO [PERCENT]" in output
    assert output.count("PERCENT is a whole number from 1 to 100, such as 5") == 2
