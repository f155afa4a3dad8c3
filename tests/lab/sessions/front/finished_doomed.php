<?php
session_start();
$_SESSION['t'] = str_repeat('x', 17 << 20); // more than the store takes
echo 'promised';
fastcgi_finish_request();
touch('went-on');
