<?php
// Leaves something running behind, as pages do that send mail or resize pictures.
require __DIR__ . '/visit.php';
$count = visit();
match ($_GET['by']) {
    'exec' => exec('sleep 25 >/dev/null 2>&1 &'),
    'shell_exec' => shell_exec('sleep 25 >/dev/null 2>&1 &'),
    'proc_open' => proc_close(proc_open('sleep 25 >/dev/null 2>&1 &', [], $pipes)),
};
echo $count;
