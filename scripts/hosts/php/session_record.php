<?php
// PHP's sessions as checked records, one file each; docs/sessions.md says why each rule is here.
//
// A record: magic, length of the data, sequence number, SHA-256 over those two and the data, the data, zeros up to a
// multiple of 4096 bytes. It is written by one write call under an exclusive lock that is held from the reading to the
// end of the session. A file of size 0 is a session that was never stored, or was destroyed. Whatever cannot be read or
// stored ends in an HTTP 503: never an empty session in place of a lost one.

declare(strict_types=1);

namespace PhpCluster;

final class SessionUnavailable extends \RuntimeException
{
}

final class SessionRecord implements \SessionHandlerInterface, \SessionUpdateTimestampHandlerInterface
{
    private const MAGIC = "PCSREC01";
    private const HEADER_SIZE = 8 + 8 + 8 + 32;
    private const BLOCK = 4096;
    private const MAX_SIZE = 64 * 1024 * 1024;

    private string $folder = '';
    private string $id = '';
    /** @var resource|null */
    private $file = null;
    private int $sequence = 0;

    public function open(string $path, string $name): bool
    {
        $this->folder = $path;
        return true;
    }

    public function close(): bool
    {
        $this->release();
        return true;
    }

    public function read(string $id): string
    {
        return $this->orUnavailable($id, function () use ($id): string {
            $this->lock($id);
            [$this->sequence, $data] = $this->record();
            return $data;
        });
    }

    public function write(string $id, string $data): bool
    {
        return $this->orUnavailable($id, function () use ($id, $data): bool {
            if ($this->file === null || $id !== $this->id) {
                $this->lock($id);
                [$this->sequence] = $this->record();
            }
            $this->store($data);
            return true;
        });
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        // The collector goes by the time of the last change; a tenth of a session's life is fine enough.
        $age = time() - (int) ($this->file === null ? 0 : (fstat($this->file)['mtime'] ?? 0));
        return $age < (int) ini_get('session.gc_maxlifetime') / 10 || $this->write($id, $data);
    }

    public function validateId(string $id): bool
    {
        if (!self::isWellFormed($id)) {
            return false; // a made-up cookie: its visitor gets a new session
        }
        return $this->orUnavailable($id, function () use ($id): bool {
            $file = $this->openFile($id, 'r+b');
            if ($file === null) {
                return false;
            }
            // A file that was never written is nobody's session yet.
            $known = (fstat($file)['size'] ?? 0) > 0;
            fclose($file);
            return $known;
        });
    }

    public function destroy(string $id): bool
    {
        return $this->orUnavailable($id, function () use ($id): bool {
            if ($this->file === null || $id !== $this->id) {
                $this->lock($id);
                [$this->sequence] = $this->record();
            }
            // Emptied, not removed: others may wait for the lock of this very file. The collector removes it in time.
            if (!ftruncate($this->file, 0)) {
                throw new SessionUnavailable('the session cannot be emptied');
            }
            $this->release();
            return true;
        });
    }

    public function gc(int $max_lifetime): int
    {
        return 0; // collect_sessions.php on php1 does it for all nodes
    }

    /** Opens and locks the session's file, creating it when there is none. */
    private function lock(string $id): void
    {
        $this->release();
        do {
            $file = $this->openFile($id, 'c+b') ?? throw new SessionUnavailable('the session cannot be created');
            if (!flock($file, LOCK_EX)) {
                throw new SessionUnavailable('the session cannot be locked');
            }
            // While this request waited, the collector may have removed the file that it holds.
            clearstatcache();
            $named = @stat($this->path($id));
            $same = $named !== false && $named['ino'] === (fstat($file)['ino'] ?? null);
            if (!$same) {
                fclose($file);
            }
        } while (!$same);
        $this->file = $file;
        $this->id = $id;
    }

    private function release(): void
    {
        if ($this->file !== null) {
            fclose($this->file); // lets the lock go
            $this->file = null;
        }
    }

    /** @return resource|null null when there is no such file */
    private function openFile(string $id, string $mode)
    {
        error_clear_last();
        $file = @fopen($this->path($id), $mode);
        if ($file === false) {
            $reason = error_get_last()['message'] ?? 'unknown error';
            if (str_contains($reason, 'No such file or directory') && $mode === 'r+b') {
                return null;
            }
            throw new SessionUnavailable("the session cannot be opened: $reason");
        }
        // Nothing between this code and the write call: no reading ahead, no splitting.
        stream_set_read_buffer($file, 0);
        stream_set_write_buffer($file, 0);
        return $file;
    }

    private function path(string $id): string
    {
        if (!self::isWellFormed($id)) {
            throw new SessionUnavailable('the session id has a wrong form');
        }
        return "$this->folder/sess_$id";
    }

    private static function isWellFormed(string $id): bool
    {
        return preg_match('/^[a-zA-Z0-9,-]{22,256}$/D', $id) === 1;
    }

    /** @return array{int, string} sequence number and data of what the file holds now */
    private function record(): array
    {
        $size = fstat($this->file)['size'] ?? throw new SessionUnavailable('the session cannot be examined');
        if ($size === 0) {
            return [0, ''];
        }
        if ($size > self::MAX_SIZE || fseek($this->file, 0) !== 0) {
            throw new SessionUnavailable('the session cannot be read');
        }
        $text = '';
        while (strlen($text) < $size) {
            $part = fread($this->file, $size - strlen($text));
            if ($part === false || $part === '') {
                throw new SessionUnavailable('the session cannot be read to its end');
            }
            $text .= $part;
        }
        if (strlen($text) < self::HEADER_SIZE || !str_starts_with($text, self::MAGIC)) {
            throw new SessionUnavailable('the session is no record');
        }
        ['length' => $length, 'sequence' => $sequence] = unpack('Jlength/Jsequence', $text, 8);
        $data = substr($text, self::HEADER_SIZE, $length);
        if (substr($text, 24, 32) !== self::checksum($length, $sequence, $data)) {
            throw new SessionUnavailable('the session record is damaged');
        }
        return [$sequence, $data];
    }

    private static function checksum(int $length, int $sequence, string $data): string
    {
        return hash('sha256', pack('JJ', $length, $sequence) . $data, true);
    }

    private function store(string $data): void
    {
        // The lock should have kept others out. Should it ever have been lost, the newer record stays.
        [$stored] = $this->record();
        if ($stored !== $this->sequence) {
            throw new SessionUnavailable('the session was changed by another request');
        }
        $next = $this->sequence + 1;
        $length = strlen($data);
        $text = self::MAGIC . pack('JJ', $length, $next) . self::checksum($length, $next, $data) . $data;
        $text = str_pad($text, (int) ceil(strlen($text) / self::BLOCK) * self::BLOCK, "\0");
        if (strlen($text) > self::MAX_SIZE) {
            throw new SessionUnavailable('the session is larger than 64 MiB');
        }
        if (fseek($this->file, 0) !== 0 || @fwrite($this->file, $text) !== strlen($text)) {
            throw new SessionUnavailable('the session cannot be stored');
        }
        $this->sequence = $next;
    }

    /**
     * @template T
     * @param callable(): T $action
     * @return T
     */
    private function orUnavailable(string $id, callable $action): mixed
    {
        try {
            return $action();
        } catch (SessionUnavailable $problem) {
            // Whoever reads the log must not be able to take the session over.
            error_log('session ' . substr(hash('sha256', $id), 0, 12) . ": {$problem->getMessage()}");
            $this->release();
            refuse();
        }
    }
}

/** Ends the request with a 503, with nothing of the page in it. */
function refuse(): never
{
    while (ob_get_level() > 0 && @ob_end_clean()) {
    }
    Response::$refused = true;
    if (!headers_sent()) {
        header_remove();
        http_response_code(503);
        header('Content-Type: text/plain; charset=utf-8');
        header('Retry-After: 1');
        header('Cache-Control: no-store');
    }
    exit;
}

/** Holds the answer back until the session is stored: nobody is told of an update that might still fail. */
final class Response
{
    public static bool $refused = false;

    public static function hold(): void
    {
        // Not flushable, not removable: only the end of the request lets it go.
        ob_start(static fn (string $page): string => self::$refused
            ? "The session is not available at the moment. Please try again.\n"
            : $page, 0, 0);
        // PHP stores the session after it has sent the page. A function that is registered by the last one runs after
        // those of the site, which may still change the session.
        register_shutdown_function(static fn () => register_shutdown_function(static function (): void {
            if (session_status() === PHP_SESSION_ACTIVE) {
                session_write_close();
            }
        }));
    }
}

if (PHP_SAPI !== 'cli') {
    Response::hold();
}
session_set_save_handler(new SessionRecord(), false);
