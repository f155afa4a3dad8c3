<?php
// Opens the session when a part of the page has left already, which PHP allows without a cookie to send.
require __DIR__ . '/visit.php';
ini_set('session.use_cookies', 0);
ini_set('session.use_only_cookies', 0);
ini_set('session.cache_limiter', '');
ini_set('display_errors', 0);
session_id($_COOKIE['PHPSESSID']);
while (ob_get_level() > 0) {
    ob_end_flush();
}
echo "begun\n";
flush();
$count = visit();
if (isset($_GET['size'])) {
    $_SESSION['large'] = random_bytes(17 << 20);
}
echo $count;
