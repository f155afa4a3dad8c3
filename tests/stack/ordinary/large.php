<?php
// A session of many MiB, and whether it comes back.
ini_set('display_errors', 0);
ini_set('memory_limit', $_GET['limit'] ?? '128M');
session_start();
if (isset($_GET['MiB'])) {
    $_SESSION['large'] = random_bytes((int) $_GET['MiB'] << 20);
    $_SESSION['digest'] = md5($_SESSION['large']);
    echo 'kept';
} else {
    echo json_encode(md5($_SESSION['large']) === $_SESSION['digest']);
}
