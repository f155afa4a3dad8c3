<?php
// Takes its time, with the session or when it has been let go.
require __DIR__ . '/visit.php';
$count = visit();
if (isset($_GET['closed'])) {
    session_write_close();
}
usleep((int) ($_GET['seconds'] * 1_000_000));
echo $count;
