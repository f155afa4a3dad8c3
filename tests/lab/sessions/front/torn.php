<?php
session_start();
$_SESSION['n'] = 1000;
$_SESSION['f'] = fn () => 1;
try {
    session_write_close();
} catch (Throwable $problem) {
}
echo 'promised';
