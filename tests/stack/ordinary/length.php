<?php
// Says how long it is.
require __DIR__ . '/visit.php';
$page = str_repeat('x', 300_000) . visit();
header('Content-Length: ' . strlen($page));
echo $page;
