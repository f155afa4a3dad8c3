<?php
ini_set('session.gc_maxlifetime', 300);
session_start();
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
echo $_SESSION['n'];
