<?php
ob_start('ob_gzhandler');
require __DIR__ . '/visit.php';
echo visit(), ' ', str_repeat('compressed ', 10);
