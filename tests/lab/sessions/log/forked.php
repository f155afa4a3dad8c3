<?php
// Both have the session open; the child is the first to end.
session_start();
$_SESSION['n'] = 1;
if (pcntl_fork() === 0) {
    $_SESSION['n'] = 2;
    exit;
}
pcntl_wait($status);
session_write_close();
session_start();
echo "stored {$_SESSION['n']}";
