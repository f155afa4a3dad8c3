<?php
require __DIR__ . '/visit.php';
set_error_handler(match ($_GET['with']) {
    'silence' => static fn (): bool => true,
    'exceptions' => static fn (int $level, string $text) => throw new ErrorException($text, 0, $level),
});
echo visit();
