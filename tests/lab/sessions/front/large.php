<?php
session_start();
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
echo $_SESSION['n'];
for ($i = 0; $i < 3000; $i++) {
    echo str_repeat(chr(97 + $i % 26), 1000);
    @ob_flush();
    flush();
}
