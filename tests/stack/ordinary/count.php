<?php
require __DIR__ . '/visit.php';
echo visit();
