<?php
// An application that keeps its sessions in a folder of its own.
require __DIR__ . '/visit.php';
$folder = sys_get_temp_dir();
match ($_GET['by']) {
    'function' => session_save_path($folder),
    'ini' => ini_set('session.save_path', $folder),
    'start' => null,
};
session_start($_GET['by'] === 'start' ? ['save_path' => $folder] : []);
echo counted();
