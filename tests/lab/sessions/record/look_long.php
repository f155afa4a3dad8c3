<?php
session_start(['read_and_close' => true]);
touch('has-read');
for ($i = 0; $i < 3000 && !file_exists('go-on'); $i++) {
    usleep(10000);
    clearstatcache();
}
echo $_SESSION['n'];
