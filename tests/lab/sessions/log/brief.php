<?php
ini_set('session.gc_maxlifetime', $_GET['seconds']);
session_start();
$_SESSION['n'] = $_SESSION['n'] ?? 1;
echo $_SESSION['n'];
