<?php
session_start();
$_SESSION['n']++;
fastcgi_finish_request();
$_SESSION['n'] = 1000;
session_reset();
$_SESSION['n'] += 10;
