<?php
// The PHP nodes as a balancer sees them at this moment. Asked for by itself, it answers in JSON; it opens no session.

declare(strict_types=1);

/** @return array<string, string> name of a node to `up` or `down`; empty when no balancer answers */
function members(): array
{
    $patience = stream_context_create(['http' => ['timeout' => 1.0]]);
    foreach (['lb1', 'lb2'] as $balancer) {
        // The name is unknown where this page runs without a cluster.
        if (gethostbyname($balancer) === $balancer) {
            continue;
        }
        $table = @file_get_contents("http://$balancer:8405/members;csv", false, $patience);
        if ($table === false) {
            continue;
        }
        $lines = explode("\n", trim($table));
        $columns = array_flip(str_getcsv(ltrim($lines[0], '# ')));
        $members = [];
        foreach (array_slice($lines, 1) as $line) {
            $row = str_getcsv($line);
            $name = $row[$columns['svname']] ?? 'BACKEND';
            if ($name !== 'BACKEND' && $name !== 'FRONTEND') {
                $members[$name] = str_starts_with($row[$columns['status']], 'UP') ? 'up' : 'down';
            }
        }
        return $members;
    }
    return [];
}

if (realpath($_SERVER['SCRIPT_FILENAME'] ?? '') === __FILE__) {
    header('Content-Type: application/json');
    header('Cache-Control: no-store');
    echo json_encode(members(), JSON_FORCE_OBJECT), "\n";
}
