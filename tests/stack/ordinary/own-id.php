<?php
// A program that chooses the session itself: a counter of all visitors, a session that an API's client names.
require __DIR__ . '/visit.php';
if (isset($_GET['strict'])) {
    ini_set('session.use_strict_mode', 1);
}
if (isset($_GET['urls'])) {
    ini_set('session.use_cookies', 0);
    ini_set('session.use_only_cookies', 0);
}
session_id($_GET['id']);
echo visit();
