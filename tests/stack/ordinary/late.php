<?php
// Changes the session when the page itself has ended.
require __DIR__ . '/visit.php';

function late(): void
{
    $_SESSION['late'] = $_GET['by'];
}

final class AtItsEnd
{
    public function __destruct()
    {
        late();
    }
}

match ($_GET['by']) {
    'destructor' => $last = new AtItsEnd(),
    'shutdown function' => register_shutdown_function(late(...)),
    'last shutdown function' => register_shutdown_function(
        static fn () => register_shutdown_function(static fn () => register_shutdown_function(late(...)))
    ),
    'output callback' => ob_start(static function (string $page): string {
        late();
        return $page;
    }),
    'header callback' => header_register_callback(late(...)),
    'after an exit' => register_shutdown_function(static function (): void {
        late();
        exit;
    }),
};
echo visit();
