<?php
session_start();
$_SESSION['n']++;
while (ob_get_level()) {
    ob_end_clean();
}
$_SESSION['n']++;
echo $_SESSION['n'];
