<?php
// Asks for the session when the page itself has ended.
require __DIR__ . '/visit.php';

final class AtItsEnd
{
    public function __destruct()
    {
        echo visit();
    }
}

match ($_GET['by']) {
    'destructor' => $last = new AtItsEnd(),
    'shutdown function' => register_shutdown_function(static function (): void {
        echo visit();
    }),
    'output callback' => ob_start(static fn (string $page): string => $page . visit()),
};
echo 'page ';
