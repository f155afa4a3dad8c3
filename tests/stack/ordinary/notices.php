<?php
// An application whose every notice is an exception, and which sends what it has.
require __DIR__ . '/visit.php';
set_error_handler(static fn (int $level, string $text) => throw new ErrorException($text, 0, $level));
echo visit(), ' ';
ob_flush();
flush();
echo 'sent';
