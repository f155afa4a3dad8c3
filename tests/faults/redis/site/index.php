<?php
// The page of tests/faults/site, as somebody careful would write it who has sessions in Redis: a warning is an exception, as in
// every framework; the session is stored before the answer is given; what fails is a 503. The plain page would answer 200.

declare(strict_types=1);

set_error_handler(static fn (int $level, string $text, string $file, int $line) => throw new ErrorException($text, 0, $level, $file, $line));
$update = $_GET['update'] ?? null;
try {
    session_start(['read_and_close' => $update === null]);
    if ($update !== null) {
        $_SESSION['updates'][] = $update;
    }
    $updates = $_SESSION['updates'] ?? [];
    session_write_close();
} catch (Throwable $problem) {
    error_log('refused: ' . $problem->getMessage());
    http_response_code(503);
    exit;
}

header('Cache-Control: no-store');
header('Content-Type: application/json');
echo json_encode([
    'node' => gethostname(),
    'balancer' => $_SERVER['HTTP_X_BALANCER'] ?? '',
    'count' => count($updates),
    'updates' => $update === null ? $updates : [],
]);
