<?php
session_start();
session_regenerate_id(true);
$_SESSION['t'] = str_repeat('x', 17 << 20); // more than the store takes
