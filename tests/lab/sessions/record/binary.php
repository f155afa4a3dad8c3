<?php
session_start();
$all = '';
for ($i = 0; $i < 256; $i++) {
    $all .= chr($i);
}
if (!isset($_SESSION['b'])) {
    $_SESSION['b'] = str_repeat($all, 40);
}
echo hash('sha256', $_SESSION['b']);
