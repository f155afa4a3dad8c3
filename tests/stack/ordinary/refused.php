<?php
// A session that no store takes, and all that a page may have said of its success before that is known.
require __DIR__ . '/visit.php';

/** What cannot be stored. */
function spoil(): void
{
    switch ($_GET['what'] ?? 'size') {
        case 'size':
            $_SESSION['large'] = random_bytes(17 << 20);
            break;
        case 'closure':
            $_SESSION['closure'] = static fn (): int => 1;
            break;
        case 'throws':
            $_SESSION['object'] = new class () {
                public function __serialize(): array
                {
                    throw new RuntimeException('by an object that is to be stored');
                }
            };
            break;
        case 'exit':
            $_SESSION['object'] = new class () {
                public function __serialize(): array
                {
                    exit('all is well');
                }
            };
            break;
        case 'name':
            $_SESSION['a|b'] = 1;
            break;
        case 'memory':
            // Once in memory, and often in what is stored: more than twice the limit, as newer PHPs allow at the end of a page.
            $_SESSION['often'] = array_fill(0, 7, random_bytes(2 << 20));
            ini_set('memory_limit', (string) (memory_get_usage() + (2 << 20)));
            break;
    }
}

/** Keeps to itself what the store has said. */
final class Lying extends SessionHandler
{
    public function write(string $id, string $data): bool
    {
        parent::write($id, $data);
        return true;
    }
}

final class AtItsEnd
{
    public function __destruct()
    {
        header('HTTP/1.1 200 OK');
        spoil();
    }
}

ini_set('display_errors', 0);
$how = $_GET['how'];
if ($how === 'lying handler') {
    session_set_save_handler(new Lying(), true);
}
if ($how === 'compression by PHP') {
    ini_set('zlib.output_compression', 1);
}
visit();
setcookie('told', 'all is well');
if ($how !== 'destructor') {
    spoil();
}
echo 'all is well';
switch ($how) {
    case 'status line':
        header('HTTP/1.1 200 OK');
        break;
    case 'redirect':
        header('Location: /count.php');
        break;
    case 'see other':
        header('Location: /count.php', true, 303);
        break;
    case 'redirect by status line':
        header('HTTP/1.1 302 Found');
        header('Location: /count.php');
        break;
    case 'code':
        http_response_code(201);
        break;
    case 'nothing to say':
        http_response_code(204);
        break;
    case 'not modified':
        http_response_code(304);
        break;
    case 'length':
        header('Content-Length: 11');
        break;
    case 'flush':
        flush();
        break;
    case 'ob_flush':
        @ob_flush();
        flush();
        break;
    case 'no buffers':
        while (ob_get_level() > 0) {
            ob_end_flush();
        }
        flush();
        break;
    case 'long':
        echo str_repeat('all is well ', 100_000);
        break;
    case 'implicit flush':
        ob_implicit_flush();
        while (ob_get_level() > 0) {
            ob_end_flush();
        }
        echo 'all is well';
        break;
    case 'output callback':
        ob_start(static function (string $page): string {
            header('HTTP/1.1 200 OK');
            return "$page, said last";
        });
        break;
    case 'compression':
        ob_start('ob_gzhandler');
        echo 'all is well';
        break;
    case 'header callback':
        header_register_callback(static fn () => http_response_code(200));
        break;
    case 'header callback that exits':
        header_register_callback(static fn () => exit('all is well'));
        break;
    case 'output callback that throws':
        ob_start(static fn () => throw new RuntimeException('by a page'));
        break;
    case 'output callback that exits':
        ob_start(static fn () => exit('all is well'));
        break;
    case 'shutdown function that throws':
        register_shutdown_function(static fn () => throw new RuntimeException('by a page'));
        break;
    case 'errors shown':
        ini_set('display_errors', 1);
        break;
    case 'cleaned':
        ob_end_clean();
        ob_start();
        echo 'all is well';
        ob_end_clean();
        break;
    case 'headers removed':
        header_remove();
        break;
    case 'shutdown function':
        register_shutdown_function(static fn () => http_response_code(200));
        break;
    case 'exit':
        exit('all is well');
    case 'exit in a shutdown function':
        register_shutdown_function(static fn () => exit('all is well'));
        break;
    case 'exception':
        throw new RuntimeException('by a page');
    case 'fatal error':
        there_is_no_such_function();
    case 'caught':
        try {
            session_write_close();
        } catch (Throwable) {
        }
        http_response_code(200);
        break;
    case 'commit':
        session_commit();
        header('Location: /count.php', true, 303);
        break;
    case 'commit and go on':
        @session_commit();
        @session_start();
        counted();
        break;
    case 'error handler':
        set_error_handler(static fn (): bool => true);
        break;
    case 'finish':
        fastcgi_finish_request();
        break;
    case 'regenerate':
        session_regenerate_id();
        break;
    case 'regenerate and end the old one':
        session_regenerate_id(true);
        break;
    case 'destructor':
        $last = new AtItsEnd();
        break;
}
