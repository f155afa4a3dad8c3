<?php
// Removes all output buffers, as pages do that send files.
require __DIR__ . '/visit.php';

function send(string $text): void
{
    while (ob_get_level() > 0) {
        ob_end_flush();
    }
    echo $text;
    flush();
}

/** A handler of the application's own, in a database as it were. */
final class Elsewhere implements SessionHandlerInterface
{
    public function open(string $path, string $name): bool
    {
        return true;
    }

    public function close(): bool
    {
        return true;
    }

    public function read(string $id): string|false
    {
        return 'n|i:41;';
    }

    public function write(string $id, string $data): bool
    {
        return $data === 'n|i:42;';
    }

    public function destroy(string $id): bool
    {
        return true;
    }

    public function gc(int $max_lifetime): int|false
    {
        return 0;
    }
}

switch ($_GET['with']) {
    case 'a handler of its own':
        session_set_save_handler(new Elsewhere(), true);
        $count = visit();
        send("$count");
        break;
    case 'a flag':
        session_start();
        $_SESSION['flag'] = 'set';
        send('sent');
        unset($_SESSION['flag']);
        break;
    case 'a late change':
        session_start();
        send('sent');
        counted();
        break;
}
