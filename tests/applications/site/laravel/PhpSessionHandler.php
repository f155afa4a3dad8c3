<?php

namespace App\Session;

/**
 * Keeps Laravel's sessions where PHP keeps its own, under Laravel's ids.
 *
 * A session is locked from `read` on until it is written, so requests of one visitor take turns, as in any other PHP
 * application; and an answer whose session could not be stored is an error, not a success.
 */
final class PhpSessionHandler implements \SessionHandlerInterface
{
    /** Sessions that end when the one that takes their place is stored. @var list<string> */
    private array $ended = [];

    /** @param int $minutes How long a session is kept after its last use. */
    public function __construct(private int $minutes)
    {
    }

    public function open(string $path, string $name): bool
    {
        return true;
    }

    public function close(): bool
    {
        return true;
    }

    public function read(string $id): string
    {
        $this->begin($id);

        return $_SESSION['laravel'] ?? '';
    }

    public function write(string $id, string $data): bool
    {
        $this->begin($id);
        $_SESSION['laravel'] = $data;
        if (!session_write_close()) {
            throw new \RuntimeException('the session could not be stored');
        }
        foreach (array_diff($this->ended, [$id]) as $old) {
            $this->begin($old);
            session_destroy();
        }
        $this->ended = [];

        return true;
    }

    public function destroy(string $id): bool
    {
        $this->ended[] = $id;

        return true;
    }

    /** PHP's own collector does it. */
    public function gc(int $lifetime): int
    {
        return 0;
    }

    private function begin(string $id): void
    {
        if (session_status() === PHP_SESSION_ACTIVE) {
            if (session_id() === $id) {
                return;
            }
            session_write_close();
        }
        // The id is Laravel's, in a cookie of Laravel's, and was checked there.
        session_id($id);
        $options = ['use_cookies' => false, 'use_strict_mode' => false, 'cache_limiter' => ''];
        if (!session_start($options + ['gc_maxlifetime' => 60 * $this->minutes])) {
            throw new \RuntimeException('the session could not be read');
        }
    }
}
