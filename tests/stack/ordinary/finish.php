<?php
// Lets the visitor go, and goes on.
require __DIR__ . '/visit.php';
echo visit();
fastcgi_finish_request();
if ($_GET['then'] === 'change') {
    session_start();
    counted();
}
