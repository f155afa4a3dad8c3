<?php
// Turns records (extension/record.c) back into sessions of PHP's own `files` handler. Runs on one node, when no node
// writes records any more. Sessions are in use meanwhile; one that cannot be read now is tried again, and named at the end.

declare(strict_types=1);

const ROUNDS = 3;

/** @return list<string> the sessions that there are */
function sessions(string $folder): array
{
    $names = scandir($folder);
    if ($names === false) {
        // As long as PHP reads both kinds, nothing is lost by this.
        fwrite(STDERR, "$folder cannot be listed\n");
        exit(1);
    }
    return array_values(preg_grep('/^sess_/', $names));
}

$folder = (string) ini_get('php_cluster.folder');
$waiting = sessions($folder);
$turned = 0;
for ($round = 1; $round <= ROUNDS && $waiting !== []; $round++) {
    $failed = [];
    foreach ($waiting as $name) {
        $result = php_cluster_become_plain(substr($name, strlen('sess_')));
        if ($result === true) {
            $turned++;
        } elseif (is_string($result) && in_array($name, sessions($folder), true)) {
            $failed[$name] = $result;
        }
    }
    $waiting = array_keys($failed);
}
echo "turned $turned records into plain sessions\n";
foreach ($failed ?? [] as $name => $problem) {
    fwrite(STDERR, "$folder/$name: $problem\n");
}
exit($waiting === [] ? 0 : 1);
