<?php
session_start();
$_SESSION['n'] = 1000;
ini_set('memory_limit', '8M');
$_SESSION['t'] = str_repeat('x', 5 << 20);
header('Location: /plain.php');
session_write_close();
echo 'promised';
