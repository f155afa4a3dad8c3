<?php
header('X-Accel-Buffering: no');
session_start();
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
echo $_SESSION['n'];
session_write_close();
while (ob_get_level()) {
    ob_end_flush();
}
flush();
touch('has-begun');
for ($i = 0; $i < 3000 && !file_exists('go-on'); $i++) {
    usleep(10000);
    clearstatcache();
}
echo ' ends';
