<?php
session_start();
$_SESSION['n']++;
touch('has-counted');
for ($i = 0; $i < 3000 && !file_exists('go-on'); $i++) {
    usleep(10000);
    clearstatcache();
}
echo $_SESSION['n'];
