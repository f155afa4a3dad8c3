<?php
class Own extends SessionHandler
{
    public function read(string $id): string|false
    {
        return parent::read($id);
    }
}

session_set_save_handler(new Own(), true);
session_start();
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
echo $_SESSION['n'];
