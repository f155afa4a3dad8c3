<?php
// Each framework's way to have PHP's own module store the session.
require __DIR__ . '/visit.php';

class Wrapper extends SessionHandler
{
    public function read(string $id): string|false
    {
        return parent::read($id);
    }

    public function write(string $id, string $data): bool
    {
        return parent::write($id, $data);
    }
}

/** Changes what is stored, as handlers do that encrypt. */
final class Encrypting extends SessionHandler
{
    public function read(string $id): string|false
    {
        return base64_decode((string) parent::read($id));
    }

    public function write(string $id, string $data): bool
    {
        return parent::write($id, base64_encode($data));
    }
}

/** Stores nothing that is there already, and leaves the rest to PHP. */
final class Careless extends SessionHandler
{
    private string $known = '';

    public function read(string $id): string|false
    {
        return $this->known = (string) parent::read($id);
    }

    public function write(string $id, string $data): bool
    {
        return $data === $this->known || parent::write($id, $data);
    }

    public function close(): bool
    {
        return true;
    }
}

/** As Symfony has it: around a handler, with all of PHP's interfaces. */
final class Proxy implements SessionHandlerInterface, SessionUpdateTimestampHandlerInterface
{
    private SessionHandler $inner;

    public function __construct()
    {
        $this->inner = new SessionHandler();
    }

    public function open(string $path, string $name): bool
    {
        return $this->inner->open($path, $name);
    }

    public function close(): bool
    {
        return $this->inner->close();
    }

    public function read(string $id): string|false
    {
        return $this->inner->read($id);
    }

    public function write(string $id, string $data): bool
    {
        return $this->inner->write($id, $data);
    }

    public function destroy(string $id): bool
    {
        return $this->inner->destroy($id);
    }

    public function gc(int $max_lifetime): int|false
    {
        return $this->inner->gc($max_lifetime);
    }

    public function validateId(string $id): bool
    {
        return true;
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->inner->write($id, $data);
    }
}

match ($_GET['by']) {
    'object' => session_set_save_handler(new SessionHandler(), true),
    'subclass' => session_set_save_handler(new Wrapper(), true),
    'encryption' => session_set_save_handler(new Encrypting(), true),
    'care' => session_set_save_handler(new Careless(), true),
    'proxy' => session_set_save_handler(new Proxy(), true),
    'ini' => ini_set('session.save_handler', 'files'),
    'module' => session_module_name('files'),
};
session_start();
echo isset($_GET['look']) ? $_SESSION['n'] : counted();
