"""What a session costs: `scripts/bench sessions`.

One stack of profile `safe`, with its own machines, serves one page. Beside the stack's own PHP, each PHP node runs
another one with a pool for each store; they differ in PHP's settings for sessions and in nothing else. nginx tells
them apart by the host name that a request asks for, the balancer takes turns over the nodes for all of them:

- `local`    PHP's `files` handler and a folder on the node's own disk. Each node has sessions of its own, so this is no
             cluster: it is what the page costs without one.
- `redis`    one Redis server of Debian's on lb1, no replica, Debian's settings; php-redis with its own, which lock
             nothing: requests of one session at the same time overwrite each other.
- `redis-forced` the same, with a log that is forced to lb1's own disk at each commit: `appendonly yes`, `appendfsync
             always`.
- `redis-pair` one Redis on lb1 with a replica on lb2, both with Debian's settings, and a session handler in PHP
             (redis-wait.php) that answers when the replica has the update, by WAIT; it locks nothing either.
- `article`  PHP's `files` handler on a volume of its own made as in the article: two bricks, on the same disks as those
             of `safe`, no options, mounted with `defaults,_netdev`.
- `safe`     the stack's own volume, mount and handler.
- `safe-tls` the same handler, options and mount on one more volume, with bricks on the same disks and connections that
             are encrypted as with `glusterTls`. Gluster's management is not; no request waits for it. There is no
             arbiter, which nobody asks as long as nothing fails.
- `three-bricks` only if asked for: `safe` with a third brick that arbitrates in place of the arbiter, on lb1: there it
             costs as much, and would be of no help.

The load is wrk in one thread, with persistent connections, each of which asks again as soon as it is answered. A
session is used by one connection at a time, and the next request takes the session that has rested longest. Every
answer is checked: the counter in the session must be one more than what this session's visitor was last told, or the
same after a page that only looks. Wrong answers are counted: a store that loses updates without any fault is seen to.

Rounds are short and the stores take turns within each, so that a busy moment of the box meets all of them; the first
one changes from round to round. Figures are medians over the rounds, with the smallest and the largest, and p50 and p99
are those of a round. All machines share the box's cores, and the load with them: requests per second say how much CPU
a request costs, not what separate servers would do. The CPU time is that of whole machines, from their control groups,
divided by the requests answered meanwhile; it includes what the machines do at rest (`safe` watches its mounts) and not
what the kernel does for packets between the machines.

The disks of all bricks are files on the one disk of the box, so that each waits for the others. `--disks memory` puts
them into memory: what is left without the wait for disks, as with disks of their own that are quick.

File operations are counted by the bricks themselves (`gluster volume profile`) in runs of their own, since counting
costs them time.
"""
