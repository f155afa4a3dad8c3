<?php
// Stores only what has changed; PHP's own module is then not told of anything.
class Own extends SessionHandler
{
    private string $was = '';

    public function read(string $id): string|false
    {
        return $this->was = parent::read($id);
    }

    public function write(string $id, string $data): bool
    {
        return $data === $this->was || parent::write($id, $data);
    }
}

session_set_save_handler(new Own(), true);
ini_set('session.lazy_write', 0);
session_start();
echo $_SESSION['n'];
