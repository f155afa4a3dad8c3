<?php
// The file of a session: a checked record; docs/sessions.md says why each rule is here.

declare(strict_types=1);

namespace PhpCluster;

/** The session cannot be read or stored. */
final class SessionUnavailable extends \RuntimeException
{
}

/** The locked file of one session: what it holds, and how that is replaced. */
final class SessionFile
{
    private const MAGIC = 'PCSREC';
    /** The data follows the header. */
    private const INLINE = self::MAGIC . '01';
    /** The data lies apart, where the header says. */
    private const APART = self::MAGIC . '02';
    private const HEADER_SIZE = 8 + 8 + 8 + 32;
    private const BLOCK = 4096;
    /** So much goes to the bricks as one operation, which happens or does not: a mount splits at 128 KiB. */
    private const ONE_WRITE = 64 * 1024;
    private const MAX_SIZE = 16 * 1024 * 1024;
    /** So much memory is taken for what a read may bring. */
    private const ONE_READ = 1024 * 1024;
    /** Pauses before a file that is not found is looked for again, in microseconds. */
    private const SECOND_LOOKS = [10_000, 40_000, 100_000];
    /** Longer than a volume with the article's options keeps a file's attributes. */
    private const STALE_SECONDS = 3;
    /** What a session of PHP's `files` handler looks like, with its serializer `php` or `php_serialize`. */
    private const PLAIN = '/^(?:[^|]+\|(?:[abdisONCErR][:;]).*[;}]|a:\d+:\{.*\})$/Ds';

    public readonly string $id;
    /** Unix time of the last change. */
    public readonly int $changed;
    public readonly bool $isNew;
    private int $size;
    private int $sequence = 0;
    /** Where the data of a record with APART lies now; 0 for others. */
    private int $offset = 0;
    private int $length = 0;
    private bool $isChanged = false;
    /** @var resource */
    private $file;

    /**
     * @param resource $file open and locked
     * @param array{size: int, mtime: int} $status
     */
    private function __construct(string $id, $file, array $status)
    {
        $this->id = $id;
        $this->file = $file;
        $this->changed = $status['mtime'];
        $this->size = $status['size'];
        // A brick that is being healed may know the file as one of size 0, and be the one that was asked. It is not read.
        $this->isNew = $this->size === 0 && $this->bytes(0, self::BLOCK) === '';
    }

    /**
     * Opens and locks the file of a session.
     *
     * @param bool $create whether a file that is not there is made
     * @param bool $lookAgain whether it should be there
     * @return self|null null when it is not there and must not be made
     */
    public static function lock(string $folder, string $id, bool $create, bool $lookAgain = false): ?self
    {
        if (!self::isWellFormed($id)) {
            throw new SessionUnavailable('its id has a wrong form');
        }
        $deadline = microtime(true) + (float) (get_cfg_var('php_cluster.lock_seconds') ?: 30);
        while (true) {
            $file = self::open("$folder/sess_$id", $create);
            // While a brick is down and another one is not healed yet, Gluster may say of a file that it is just healing
            // that there is none. A visitor without a session waits a little, one with a session keeps it.
            foreach ($file === null && $lookAgain ? self::SECOND_LOOKS : [] as $pause) {
                usleep($pause);
                clearstatcache();
                if (($file = self::open("$folder/sess_$id", $create)) !== null) {
                    break;
                }
            }
            if ($file === null) {
                return null;
            }
            self::acquire($file, $deadline);
            // The name is looked up again, which asks every brick. A mount reads from a brick that was well when the file was
            // looked up last, and whoever held the lock may have been the only one to see that brick fail.
            clearstatcache();
            $status = @stat("$folder/sess_$id");
            if ($status !== false && $status['ino'] === (fstat($file)['ino'] ?? null)) {
                return new self($id, $file, $status);
            }
            // While this request waited, the collector removed the file that it holds.
            fclose($file);
            if (microtime(true) >= $deadline) {
                throw new SessionUnavailable('it cannot be examined');
            }
        }
    }

    public static function isWellFormed(string $id): bool
    {
        return preg_match('/^[a-zA-Z0-9,-]{22,256}$/D', $id) === 1;
    }

    /** The session's data, an empty text for a new one. */
    public function read(): string
    {
        if ($this->isNew) {
            return '';
        }
        $text = $this->bytes(0, min(max($this->size, self::BLOCK), self::ONE_WRITE));
        if (!str_starts_with($text, self::MAGIC)) {
            return $this->plain($text);
        }
        if (strlen($text) < self::HEADER_SIZE + 8) {
            throw new SessionUnavailable('its record is damaged');
        }
        ['length' => $length, 'sequence' => $sequence] = unpack('Jlength/Jsequence', $text, 8);
        if ($length < 0 || $length > self::MAX_SIZE) {
            throw new SessionUnavailable('its record is damaged');
        }
        $offset = 0;
        if (str_starts_with($text, self::INLINE)) {
            // Before there was APART, long records were written like short ones.
            $missing = self::HEADER_SIZE + $length - strlen($text);
            $data = substr($text . ($missing > 0 ? $this->bytes(strlen($text), $missing) : ''), self::HEADER_SIZE, $length);
        } elseif (str_starts_with($text, self::APART)) {
            ['offset' => $offset] = unpack('Joffset', $text, self::HEADER_SIZE);
            $data = $this->bytes($offset, $length);
        } else {
            throw new SessionUnavailable('its record has a format that this node does not know');
        }
        if (substr($text, 24, 32) !== self::checksum($length, $sequence, $data)) {
            throw new SessionUnavailable('its record is damaged');
        }
        [$this->sequence, $this->offset, $this->length] = [$sequence, $offset, $length];
        return $data;
    }

    public function write(string $data): void
    {
        $length = strlen($data);
        if ($length > self::MAX_SIZE) {
            throw new SessionUnavailable('it has more than 16 MiB');
        }
        $next = $this->sequence + 1;
        $head = pack('JJ', $length, $next) . self::checksum($length, $next, $data);
        $offset = 0;
        if (self::HEADER_SIZE + $length <= self::ONE_WRITE) {
            $record = self::INLINE . $head . $data;
        } else {
            // What is valid now stays as it is until one small write turns to what is new.
            $offset = $this->room($length);
            $this->put($offset, self::padded($data));
            $this->makeDurable();
            $record = self::APART . $head . pack('J', $offset);
        }
        $record = self::padded($record);
        $this->expectNoOther();
        if ($this->size > 0 && strlen($record) > $this->size) {
            // Room first: a full brick would take some of the new record over the old one, and leave neither.
            $this->put($this->size, str_repeat("\0", strlen($record) - $this->size));
        }
        $this->put(0, $record);
        $this->makeDurable();
        [$this->sequence, $this->offset, $this->length] = [$next, $offset, $length];
    }

    /** Stores the data as PHP's own handler does, which cannot read a record. */
    public function writePlain(string $data): void
    {
        if (strlen($data) > self::MAX_SIZE) {
            throw new SessionUnavailable('it has more than 16 MiB');
        }
        $this->expectNoOther();
        // Its size first. Cut to nothing, a stop at this moment would leave an empty session, which is a new one.
        if (!@ftruncate($this->file, strlen($data))) {
            throw new SessionUnavailable('its size cannot be changed');
        }
        $this->put(0, $data);
        $this->makeDurable();
        [$this->sequence, $this->offset, $this->length] = [0, 0, strlen($data)];
    }

    /**
     * Puts a plain session in the place of a record, all at once: there is no moment with half of it.
     *
     * @return bool whether it was a record
     */
    public function becomePlain(): bool
    {
        if ($this->isNew || $this->bytes(0, strlen(self::MAGIC)) !== self::MAGIC) {
            return false;
        }
        $data = $this->read();
        $path = stream_get_meta_data($this->file)['uri'];
        $new = dirname($path) . '/.php-cluster-plain';
        $file = self::open($new, create: true);
        if (!@ftruncate($file, 0) || @fwrite($file, $data) !== strlen($data) || !@fdatasync($file)) {
            throw new SessionUnavailable('it cannot be stored: ' . (error_get_last()['message'] ?? 'unknown error'));
        }
        fclose($file);
        // It expires when it would have; nobody else reads it, as PHP's own handler has it.
        if (!@touch($new, $this->changed) || !@chmod($new, 0600) || !@rename($new, $path)) {
            throw new SessionUnavailable('it cannot be replaced: ' . (error_get_last()['message'] ?? 'unknown error'));
        }
        return true;
    }

    /** Ends the session. Its file is emptied, not removed: others may wait for its lock. The collector removes it. */
    public function destroy(): void
    {
        $this->expectNoOther();
        if (!@ftruncate($this->file, 0)) {
            throw new SessionUnavailable('it cannot be emptied');
        }
        $this->makeDurable();
    }

    /**
     * After a change Gluster waits for a second whether there is another one (cluster.post-op-delay-secs), unless the file
     * is closed; and keeps it open, and locked, until then. A close that comes as quickly as this one may find it about to
     * wait, and does not end it. So the lock is given back first, and by the time of its answer Gluster waits.
     */
    public function release(): void
    {
        if ($this->isChanged) {
            flock($this->file, LOCK_UN);
        }
        fclose($this->file);
    }

    /** @return resource|null */
    private static function open(string $path, bool $create)
    {
        error_clear_last();
        $file = @fopen($path, $create ? 'c+b' : 'r+b');
        if ($file === false) {
            $reason = error_get_last()['message'] ?? 'unknown error';
            if (!$create && str_contains($reason, 'No such file or directory')) {
                return null;
            }
            throw new SessionUnavailable('it cannot be opened: ' . substr($reason, (int) strrpos($reason, ': ') + 2));
        }
        // Nothing between this code and the file: no reading ahead, no splitting.
        stream_set_read_buffer($file, 0);
        stream_set_write_buffer($file, 0);
        return $file;
    }

    /**
     * Asks again and again rather than wait in the lock: a signal to a process that waits there can stop the whole mount
     * (gluster/glusterfs#4371).
     *
     * @param resource $file
     */
    private static function acquire($file, float $deadline): void
    {
        $pause = 1000;
        while (!flock($file, LOCK_EX | LOCK_NB, $held)) {
            if ($held !== 1) {
                throw new SessionUnavailable('its lock cannot be asked for');
            }
            if (microtime(true) >= $deadline) {
                throw new SessionUnavailable('another request has held its lock for too long');
            }
            usleep($pause + random_int(0, $pause));
            $pause = min($pause * 2, 16_000);
        }
    }

    /** So many bytes from there, fewer only at the end of the file. */
    private function bytes(int $offset, int $count): string
    {
        $text = '';
        $part = fseek($this->file, $offset) === 0 ? null : false;
        while ($part !== false && $part !== '' && strlen($text) < $count) {
            $part = @fread($this->file, min($count - strlen($text), self::ONE_READ));
            $text .= $part;
        }
        return $part !== false ? $text : throw new SessionUnavailable('it cannot be read');
    }

    private function put(int $offset, string $text): void
    {
        if (fseek($this->file, $offset) !== 0 || @fwrite($this->file, $text) !== strlen($text)) {
            throw new SessionUnavailable('it cannot be stored: ' . (error_get_last()['message'] ?? 'unknown error'));
        }
        $this->size = max($this->size, $offset + strlen($text));
    }

    /**
     * Not before the bricks' disks have it may the visitor hear of it. Gluster takes a copy for good as soon as a brick has
     * the data in its memory, and would still do so when that brick comes back without it after a power cut.
     */
    private function makeDurable(): void
    {
        $this->isChanged = true;
        if (!@fdatasync($this->file)) {
            throw new SessionUnavailable('it cannot be stored: ' . (error_get_last()['message'] ?? 'no disk has it'));
        }
    }

    /** A session that PHP's own handler stored is taken over; whether it decodes is PHP's to say. */
    private function plain(string $text): string
    {
        // To its end, wherever that is: as long as the profile changes, the volume may have the article's options, and show a
        // file's size of before. Zeros are room that was made for a record which found no place in the end.
        $text = rtrim($text . $this->bytes(strlen($text), self::MAX_SIZE), "\0");
        $deadline = microtime(true) + self::STALE_SECONDS;
        while (preg_match(self::PLAIN, $text) !== 1) {
            if (!get_cfg_var('php_cluster.write_plain') || microtime(true) >= $deadline) {
                throw new SessionUnavailable('it is no record');
            }
            usleep(20_000);
            $text = $this->bytes(0, self::MAX_SIZE);
        }
        $this->length = strlen($text);
        return $text;
    }

    /** A place of so many bytes beside the data that is valid now. */
    private function room(int $length): int
    {
        $first = self::ONE_WRITE;
        if ($this->offset === 0) {
            // A long record in the old format, or a plain session, lies from the beginning on.
            return max($first, self::roundedUp(self::HEADER_SIZE + $this->length, self::BLOCK));
        }
        $before = $this->offset - $first;
        return $before >= self::roundedUp($length, self::BLOCK)
            ? $first
            : $this->offset + self::roundedUp($this->length, self::BLOCK);
    }

    /** The lock should have kept others out. Should it ever have been lost, the newer record stays. */
    private function expectNoOther(): void
    {
        $text = $this->bytes(0, self::BLOCK);
        $stored = str_starts_with($text, self::MAGIC) ? unpack('J', $text, 16)[1] : 0;
        if ($stored !== $this->sequence) {
            throw new SessionUnavailable('another request has changed it');
        }
    }

    private static function checksum(int $length, int $sequence, string $data): string
    {
        return hash('sha256', pack('JJ', $length, $sequence) . $data, true);
    }

    private static function padded(string $text): string
    {
        return str_pad($text, self::roundedUp(strlen($text), self::BLOCK), "\0");
    }

    private static function roundedUp(int $size, int $unit): int
    {
        return intdiv($size + $unit - 1, $unit) * $unit;
    }
}
