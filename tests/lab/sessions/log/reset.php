<?php
session_start();
$_SESSION['n']++;
session_reset();
$_SESSION['n']++;
session_reset();
echo $_SESSION['n'];
