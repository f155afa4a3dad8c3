<?php
// PHP's session handler, loaded before every page; docs/sessions.md says why each rule is here.
//
// Whatever cannot be read or stored ends in an HTTP 503: never an empty session in place of a lost one.

declare(strict_types=1);

namespace PhpCluster;

require_once __DIR__ . '/session_file.php';

/** What PHP asks for; each refusal ends the request. */
final class SessionHandler implements
    \SessionHandlerInterface,
    \SessionIdInterface,
    \SessionUpdateTimestampHandlerInterface
{
    private string $folder = '';
    private ?SessionFile $file = null;
    private ?SessionUnavailable $problem = null;
    /** The id that this request drew last; nobody has it yet. */
    private string $drawn = '';

    public function open(string $path, string $name): bool
    {
        $this->folder = $path;
        return true;
    }

    public function close(): bool
    {
        $this->file?->release();
        $this->file = null;
        return true;
    }

    public function create_sid(): string
    {
        return $this->drawn = bin2hex(random_bytes(20));
    }

    public function validateId(string $id): bool
    {
        if (!SessionFile::isWellFormed($id)) {
            return false; // a made-up cookie: its visitor gets a new session
        }
        try {
            $file = SessionFile::lock($this->folder, $id, create: false, lookAgain: $id !== $this->drawn);
        } catch (SessionUnavailable $problem) {
            // Said when it is read: refused here already, PHP would still send the visitor a new id.
            $this->problem = $problem;
            return true;
        }
        // A file of size 0 was never stored, or is destroyed: nobody's session.
        $known = $file !== null && !$file->isNew;
        if ($known && $this->file === null) {
            $this->file = $file; // what is read next
        } else {
            $file?->release(); // a new id was drawn while a session is open
        }
        return $known;
    }

    public function read(string $id): string
    {
        return $this->orUnavailable($id, function () use ($id): string {
            if ($this->problem !== null) {
                throw $this->problem;
            }
            return $this->locked($id)->read();
        });
    }

    public function write(string $id, string $data): bool
    {
        return $this->orUnavailable($id, function () use ($id, $data): bool {
            $this->store($id, $data);
            return true;
        });
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->orUnavailable($id, function () use ($id, $data): bool {
            $file = $this->current($id);
            // The collector goes by the time of the last change; a tenth of a session's life is fine enough.
            if ($file->isNew || time() - $file->changed >= (int) ini_get('session.gc_maxlifetime') / 10) {
                $this->store($id, $data);
            }
            return true;
        });
    }

    public function destroy(string $id): bool
    {
        return $this->orUnavailable($id, function () use ($id): bool {
            // PHP itself destroys a session that it cannot decode, and would go on with an empty one.
            foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS) as $caller) {
                if ($caller['function'] === 'session_start' && !isset($caller['class'])) {
                    throw new SessionUnavailable('PHP cannot decode it');
                }
            }
            $this->current($id)->destroy();
            return $this->close();
        });
    }

    public function gc(int $max_lifetime): int
    {
        return 0; // collect_sessions.php on php1 does it for all nodes
    }

    /** The session's file, locked, whether it is there already or not. */
    private function locked(string $id): SessionFile
    {
        if ($this->file?->id !== $id) {
            $this->close();
            $this->file = SessionFile::lock($this->folder, $id, create: true);
        }
        return $this->file ?? throw new SessionUnavailable('it cannot be made');
    }

    private function store(string $id, string $data): void
    {
        if (get_cfg_var('php_cluster.write_plain')) {
            $this->current($id)->writePlain($data); // the profile is being changed
        } else {
            $this->current($id)->write($data);
        }
    }

    /** The same, with what it holds known: a write goes on from there. */
    private function current(string $id): SessionFile
    {
        if ($this->file?->id !== $id) {
            $this->locked($id)->read();
        }
        return $this->locked($id);
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
            $name = substr(hash('sha256', $id), 0, 12);
            error_log("session $name refused on " . gethostname() . ": {$problem->getMessage()}");
            $this->close();
            Response::refuse($problem);
        }
    }
}

/** Holds the answer back until the session is stored: nobody is told of an update that might still fail. */
final class Response
{
    private const REFUSAL = "The session is not available at the moment. Please try again.\n";

    private static bool $refused = false;
    private static bool $isLetGo = false;
    /** How many buffers there are, with the one that holds the answer back; 0 when it is gone. */
    private static int $level = 0;

    private static SessionHandler $sessions;

    public static function hold(SessionHandler $sessions): void
    {
        self::$sessions = $sessions;
        // Not flushable. It can be removed, which sites do in a loop until no buffer is left, to send a file for example.
        ob_start(self::letGo(...), 0, PHP_OUTPUT_HANDLER_REMOVABLE);
        self::$level = ob_get_level();
        // PHP stores the session after it has sent the page. A function that is registered by the last one runs after
        // those of the site, which may still change the session.
        register_shutdown_function(static fn () => register_shutdown_function(static function (): void {
            if (session_status() === PHP_SESSION_ACTIVE) {
                session_write_close();
            }
        }));
    }

    /**
     * What leaves in place of the page so far. After this nothing is held back, so what the session holds by now is stored
     * first. It stays open: what the page still changes is stored in the end, as ever, and only then may fail unseen.
     */
    private static function letGo(string $page, int $phase): string
    {
        if (($phase & PHP_OUTPUT_HANDLER_FINAL) !== 0) {
            self::$level = 0;
        }
        if (self::$level === 0 && session_status() === PHP_SESSION_ACTIVE) {
            self::$isLetGo = true;
            try {
                self::$sessions->write((string) session_id(), (string) session_encode());
            } catch (SessionUnavailable) {
                session_abort(); // it is logged, and the answer is a 503
            }
            self::$isLetGo = false;
        }
        return self::$refused ? self::REFUSAL : $page;
    }

    /**
     * Ends the request with a 503, with nothing of the page in it.
     *
     * @throws SessionUnavailable where a request cannot be ended, since its buffer is just being removed
     */
    public static function refuse(SessionUnavailable $problem): never
    {
        self::$refused = true;
        while (!self::$isLetGo && self::$level > 0 && ob_get_level() > self::$level && @ob_end_clean()) {
        }
        if (!headers_sent()) {
            header_remove();
            http_response_code(503);
            header('Content-Type: text/plain; charset=utf-8');
            header('Retry-After: 1');
            header('Cache-Control: no-store');
        }
        if (self::$isLetGo) {
            throw $problem;
        }
        if (self::$level === 0) {
            echo self::REFUSAL;
        }
        exit;
    }
}

$sessions = new SessionHandler();
if (PHP_SAPI !== 'cli') {
    Response::hold($sessions);
}
session_set_save_handler($sessions, false);
unset($sessions);
