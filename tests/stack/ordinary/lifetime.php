<?php
require __DIR__ . '/visit.php';
ini_set('session.gc_maxlifetime', $_GET['seconds']);
echo visit();
