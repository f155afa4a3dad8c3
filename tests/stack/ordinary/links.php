<?php
// For visitors without cookies: PHP puts the id into links and forms.
require __DIR__ . '/visit.php';
ini_set('session.use_only_cookies', 0);
ini_set('session.use_trans_sid', 1);
ini_set('session.use_cookies', 0);
$count = visit();
echo '<a href="links.php">', $count, '</a>';
