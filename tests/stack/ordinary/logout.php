<?php
// As PHP's manual has it.
session_start();
$_SESSION = [];
$cookie = session_get_cookie_params();
setcookie(session_name(), '', ['expires' => 1, 'path' => $cookie['path']]);
session_destroy();
echo 'bye';
