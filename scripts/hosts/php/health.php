<?php
// Says whether this node can serve. Touches neither a session nor the mount: when a brick stalls, every node stalls with
// it, and taking all of them out of service would turn a pause into an outage.

declare(strict_types=1);

header('Content-Type: text/plain');
header('Cache-Control: no-store');
$mountPoint = ini_get('session.save_path');
$guarded = ini_get('auto_prepend_file') !== '';
if ($guarded && !str_contains((string) file_get_contents('/proc/self/mounts'), " $mountPoint fuse.glusterfs ")) {
    http_response_code(503);
    exit("sessions are not mounted\n");
}
echo "ok\n";
