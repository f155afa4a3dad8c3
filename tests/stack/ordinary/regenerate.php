<?php
// More often than anybody needs.
require __DIR__ . '/visit.php';
visit();
for ($times = 0; $times < $_GET['times']; $times++) {
    session_regenerate_id(true);
}
echo $_SESSION['n'];
