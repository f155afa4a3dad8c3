<?php
// The page of `scripts/bench sessions`, the same for every store: a session of some 2 KiB, with a counter. With `?read` the
// session is only looked at.

declare(strict_types=1);

session_start();
if (!isset($_GET['read'])) {
    $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
    $_SESSION['basket'] ??= bin2hex(random_bytes(1000));
}
header('Content-Type: text/plain');
echo session_id(), ' ', $_SESSION['count'] ?? 0, ' ', gethostname(), "\n";
