<?php
session_start();
$_SESSION['t'] = str_repeat('x', (int) $_GET['n']);
echo strlen($_SESSION['t']);
