<?php
session_start();
session_regenerate_id(true);
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
echo $_SESSION['n'];
