<?php
session_start();
$_SESSION['n']++;
posix_kill(getmypid(), 9);
