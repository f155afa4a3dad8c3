<?php
session_start();
$_SESSION['n'] = 1000;
file_put_contents(ini_get('session.save_path') . '/sess_' . session_id(), 'garbage');
while (ob_get_level()) {
    ob_end_clean();
}
header('X-Kept: no');
echo '';
