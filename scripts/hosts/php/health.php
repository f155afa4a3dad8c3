<?php
// Says whether this node can serve: 200 if so, 503 if not, and 404 while its mount does not answer, which may be over in a
// moment: requests under way should wait, and new ones go elsewhere.
//
// Touches neither a session nor the mount; keep-mounted does that, and only says when it was last answered.

declare(strict_types=1);

const LATE_SECONDS = 1.2;

/** Says after how long a wait something on this node is not asked any more. */
function waits(string $answered): float
{
    return (float) file_get_contents('/proc/uptime') - (int) $answered / 100;
}

header('Content-Type: text/plain');
header('Cache-Control: no-store');
if (file_exists('/run/php-cluster/held')) {
    http_response_code(404);
    exit("the sessions' mount is being made anew\n");
}
if (!is_dir('/srv/site/current')) {
    http_response_code(503);
    exit("there is no site yet\n");
}
if (file_exists('/etc/systemd/system/php-cluster-files.service')) {
    // Pages are served without shared files too, if no node has them: 404 is no reason to end what is under way.
    $answered = @file_get_contents('/run/php-cluster/files-answered');
    if ($answered === false || waits($answered) > LATE_SECONDS) {
        http_response_code(404);
        exit("the shared files' mount does not answer\n");
    }
}
if (!extension_loaded('php_cluster') || get_cfg_var('php_cluster.write_plain')) {
    exit("ok\n"); // profile article, or on the way from or to it
}
$service = (string) get_cfg_var('php_cluster.service');
if ($service !== '') {
    // The node that writes needs the mount; others do without, unless sessions may be files, too.
    $linked = @file_get_contents("$service-linked");
    if ($linked === false || waits($linked) > LATE_SECONDS) {
        http_response_code(404);
        exit("the sessions' log has no writer that can be reached\n");
    }
    if ((string) get_cfg_var('php_cluster.moves_to') === '') {
        exit("ok\n");
    }
}
$mountPoint = ini_get('session.save_path');
$answered = @file_get_contents('/run/php-cluster/mount-answered');
if (!str_contains((string) file_get_contents('/proc/self/mounts'), " $mountPoint fuse.glusterfs ") || $answered === false) {
    http_response_code(503);
    exit("the sessions' mount does not work\n");
}
$waits = waits($answered);
if ($waits > LATE_SECONDS) {
    http_response_code(404);
    exit(sprintf("the sessions' mount has not answered for %.1f s\n", $waits));
}
echo "ok\n";
