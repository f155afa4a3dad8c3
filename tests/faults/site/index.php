<?php
// The site under test: plain PHP, as anyone would write it. Each request adds one update to the session and tells how many
// there are then; with `?read` it tells them all and adds none.

declare(strict_types=1);

$update = $_GET['update'] ?? null;
session_start(['read_and_close' => $update === null]);
if ($update !== null) {
    $_SESSION['updates'][] = $update;
}
$updates = $_SESSION['updates'] ?? [];

header('Cache-Control: no-store');
header('Content-Type: application/json');
echo json_encode([
    'node' => gethostname(),
    'balancer' => $_SERVER['HTTP_X_BALANCER'] ?? '',
    'count' => count($updates),
    'updates' => $update === null ? $updates : [],
]);
