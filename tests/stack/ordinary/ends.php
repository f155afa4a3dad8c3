<?php
// A page that does not get to its end: what it has changed is stored all the same.
require __DIR__ . '/visit.php';
ini_set('display_errors', 0);
$count = visit();
match ($_GET['by']) {
    'exit' => exit("$count"),
    'exception' => throw new RuntimeException('by a page'),
    'fatal error' => there_is_no_such_function(),
    'memory limit' => str_repeat('x', 1 << 30),
    'time limit' => (static function (): void {
        set_time_limit(1);
        while (true) {
        }
    })(),
};
