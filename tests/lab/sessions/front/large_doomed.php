<?php
session_start();
for ($i = 0; $i < 3000; $i++) {
    echo str_repeat('x', 1000);
    flush();
}
$_SESSION['t'] = str_repeat('x', 17 << 20); // more than the store takes
