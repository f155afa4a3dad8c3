<?php
session_start();
$_SESSION['n'] = 7;
while (ob_get_level()) {
    ob_end_clean();
}
echo 'a file';
