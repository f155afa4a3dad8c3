<?php
// Logs in as PHP's manual has it: another id, then a page to go to.
session_start();
session_regenerate_id($_GET['old'] === 'ends');
$_SESSION['user'] = 'ann';
header('Location: /look.php', true, 303);
