<?php
header('X-Accel-Buffering: no'); // asks nginx not to wait for more
echo 'begins';
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
