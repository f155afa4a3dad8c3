<?php
require __DIR__ . '/visit.php';
ini_set('session.serialize_handler', 'php_serialize');
$count = visit();
$_SESSION['a|b'] = 1;
$_SESSION[7] = 'seven';
echo $count, isset($_SESSION['a|b'], $_SESSION[7]) ? '' : ' lost';
