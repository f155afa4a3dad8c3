<?php
// Brings sessions to the store of php_cluster.moves_to, while the store changes. Runs on one node, when all of them bring sessions there.
//
//   move_sessions.php          those that have a file with anything in it
//   move_sessions.php given    those whose IDs standard input has, one a line
//
// Sessions are in use meanwhile. One that cannot be had now is tried again, and named at the end, as the log names it.

declare(strict_types=1);

const ROUNDS = 3;
// Most of the time goes to waiting for the bricks' disks.
const PROCESSES = 8;

/** @return list<string> the IDs of sessions with a file that holds anything */
function in_files(string $folder): array
{
    $names = scandir($folder);
    if ($names === false) {
        // As long as PHP asks both stores, nothing is lost by this.
        fwrite(STDERR, "$folder cannot be listed\n");
        exit(1);
    }
    $found = array_filter(preg_grep('/^sess_/', $names), fn ($name) => @filesize("$folder/$name") !== 0);
    return array_values(array_map(fn ($name) => substr($name, strlen('sess_')), $found));
}

/**
 * Brings these, in a process of its own.
 *
 * @return array{int, resource} the process, and where it writes which of them it could not bring, and why
 */
function begin(array $ids): array
{
    // Not a pipe, which a process with much to say would wait at.
    $result = tmpfile();
    $process = pcntl_fork();
    if ($process === 0) {
        $said = array_combine($ids, array_map('php_cluster_move', $ids));
        fwrite($result, json_encode(array_filter($said, fn ($answer) => $answer !== true), JSON_FORCE_OBJECT));
        exit(0);
    }
    return [$process, $result];
}

/** @return array<string, string> of these, the ones that could not be brought, with the reason */
function move(array $ids): array
{
    $share = max(1, (int) ceil(count($ids) / PROCESSES));
    $problems = [];
    foreach (array_map('begin', array_chunk($ids, $share)) as [$process, $result]) {
        pcntl_waitpid($process, $status);
        rewind($result);
        $found = json_decode((string) stream_get_contents($result), true);
        if (!is_array($found)) {
            fwrite(STDERR, "a process that moved sessions has ended too early\n");
            exit(1);
        }
        $problems += $found;
    }
    return $problems;
}

$ids = ($argv[1] ?? '') === 'given'
    ? array_filter(explode("\n", (string) stream_get_contents(STDIN)))
    : in_files((string) ini_get('php_cluster.folder'));
$waiting = array_values($ids);
for ($round = 1; $round <= ROUNDS && $waiting !== []; $round++) {
    $problems = move($waiting);
    // An ID of digits alone is a number as a key.
    $waiting = array_map('strval', array_keys($problems));
}
echo 'moved ', count($ids) - count($waiting), " sessions\n";
foreach ($problems ?? [] as $id => $problem) {
    fwrite(STDERR, 'session ' . substr(hash('sha256', (string) $id), 0, 12) . ' stays where it is: ' . ($problem ?: 'not asked for') . "\n");
}
exit($waiting === [] ? 0 : 1);
