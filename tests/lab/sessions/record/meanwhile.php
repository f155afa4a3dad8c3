<?php
// Writes what another node would have written, had the lock been lost.
session_start();
$data = 'n|i:900;';
$head = pack('JJ', strlen($data), 9);
$record = str_pad('PCSREC01' . $head . hash('sha256', $head . $data, true) . $data, 4096, "\0");
file_put_contents(ini_get('session.save_path') . '/sess_' . session_id(), $record);
$_SESSION['n'] = 2;
