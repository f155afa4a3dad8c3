<?php
// Sends what it can, then the store breaks before the session is written.
session_start();
$_SESSION['n'] = 1000;
echo 'you are promised 1000';
@ob_flush();
flush();
file_put_contents(ini_get('session.save_path') . '/sess_' . session_id(), 'garbage');
