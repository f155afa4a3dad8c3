<?php
// Turns records (session_file.php) back into sessions of PHP's own `files` handler. Runs on one node, when no node
// writes records any more. Sessions are in use meanwhile; one that cannot be read now is tried again, and named at the end.

declare(strict_types=1);

namespace PhpCluster;

require '/usr/lib/php-cluster/session_file.php';

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

$folder = (string) ini_get('session.save_path');
$waiting = sessions($folder);
$turned = 0;
for ($round = 1; $round <= ROUNDS && $waiting !== []; $round++) {
    $failed = [];
    foreach ($waiting as $name) {
        $id = substr($name, strlen('sess_'));
        if (!SessionFile::isWellFormed($id)) {
            continue; // none of ours
        }
        $file = null;
        try {
            $file = SessionFile::lock($folder, $id, create: false, lookAgain: true);
            $turned += $file?->becomePlain() ? 1 : 0;
            if ($file === null && in_array($name, sessions($folder), true)) {
                throw new SessionUnavailable('it is listed, and cannot be opened');
            }
        } catch (SessionUnavailable $problem) {
            $failed[$name] = $problem->getMessage();
        } finally {
            $file?->release();
        }
    }
    $waiting = array_keys($failed);
}
echo "turned $turned records into plain sessions\n";
foreach ($failed ?? [] as $name => $problem) {
    fwrite(STDERR, "$folder/$name: $problem\n");
}
exit($waiting === [] ? 0 : 1);
