<?php
// Stores sessions that export_sessions.php has written. Reads standard input, a tar archive that may hold other files before and
// after them, up to the first one after them.
//
//   import_sessions.php check            changes nothing; the counts only
//   import_sessions.php store            a session that the cluster has in the same or a newer state stays as it is
//
// An expired session stays expired, and one that was ended here since is newer. Each gets its place all at once, with the time from which it
// expires, when the bricks have it: an interrupted run can be repeated. To standard output: a line for each session that is newer here, as the log
// names it; then the counts as JSON.

declare(strict_types=1);

const BLOCK = 4096;
const LOCK_SECONDS = 30;
// Most of the time goes to waiting for the bricks' disks.
const PROCESSES = 8;
const BATCH = 50;
const BATCH_BYTES = 8 << 20;

function refuse(string $problem): never
{
    fwrite(STDERR, "$problem\n");
    exit(1);
}

/** So many bytes of the archive, of whole blocks. */
function take(int $size): string
{
    $whole = intdiv($size + 511, 512) * 512;
    $text = $whole === 0 ? '' : (string) stream_get_contents(STDIN, $whole);
    if (strlen($text) < $whole) {
        refuse('the backup ends too early');
    }
    return substr($text, 0, $size);
}

function skip(int $size): void
{
    for ($rest = intdiv($size + 511, 512) * 512; $rest > 0; $rest -= $part) {
        $part = min($rest, 1 << 20);
        take($part);
    }
}

/**
 * The sessions of the archive, and the key of their IDs.
 *
 * @return Generator<array{string, string, int}> name, data, time
 */
function sessions(): Generator
{
    $long = '';
    for ($begun = false;;) {
        $header = take(512);
        if (trim($header, "\0") === '') {
            continue; // between two archives
        }
        ['name' => $name, 'size' => $size, 'time' => $time, 'type' => $type] = unpack('Z100name/x24/a12size/a12time/x8/atype', $header);
        // Of a file of 8 GiB or more, a number in place of octal digits.
        $bytes = ord($size) >= 128 ? unpack('J', substr($size, 4))[1] : octdec(trim($size, " \0"));
        if ($type === 'L') {
            $long = rtrim(take($bytes), "\0");
            continue;
        }
        [$name, $long] = [$long ?: $name, ''];
        if (str_starts_with($name, 'sessions/')) {
            $begun = true;
            yield [substr($name, strlen('sessions/')), take($bytes), octdec(trim($time, " \0"))];
        } elseif ($begun) {
            return;
        } else {
            skip($bytes);
        }
    }
}

/** The session as the store has it: a record with everything in it, or plain (docs/sessions.md). */
function stored(string $data): string
{
    if (ini_get('php_cluster.folder') === false || ini_get('php_cluster.write_plain')) {
        return $data;
    }
    $numbers = pack('JJ', strlen($data), 1);
    $record = 'PCSREC01' . $numbers . hash('sha256', $numbers . $data, true) . $data;
    return str_pad($record, intdiv(strlen($record) + BLOCK - 1, BLOCK) * BLOCK, "\0");
}

/** Writes a file beside its place, on the disks of the bricks. */
function write_beside(string $path, string $text, int $time): string
{
    $new = dirname($path) . '/.php-cluster-import-' . getmypid();
    $file = fopen($new, 'xb');
    if ($file === false || fwrite($file, $text) !== strlen($text) || !fflush($file) || !touch($new, $time) || !fdatasync($file)) {
        @unlink($new);
        refuse('the sessions have no room, or no bricks');
    }
    fclose($file);
    return $new;
}

/** Whether it could be locked; then nobody else has it, and it is the one that the name leads to. */
function lock(mixed $file, string $path): bool
{
    $deadline = time() + LOCK_SECONDS;
    while (!flock($file, LOCK_EX | LOCK_NB)) {
        if (time() > $deadline) {
            return false;
        }
        usleep(5000);
    }
    clearstatcache();
    return (@stat($path)['ino'] ?? 0) === fstat($file)['ino'];
}

/** What becomes of a session: restored, already there, newer here, or in use. */
function restore(string $path, string $data, int $time, bool $stores): string
{
    clearstatcache();
    $file = @fopen($path, 'r+b');
    if ($file === false && file_exists($path)) {
        return 'unstored';
    }
    $here = $file === false ? 0 : fstat($file)['mtime'];
    if ($here >= $time) {
        return $here > $time ? 'newer' : 'already';
    }
    if (!$stores) {
        return 'restored';
    }
    $new = write_beside($path, stored($data), $time);
    if ($file === false) {
        // Unless somebody has just made it.
        $linked = @link($new, $path);
        unlink($new);
        return $linked ? 'restored' : restore($path, $data, $time, $stores);
    }
    if (!lock($file, $path)) {
        $result = 'unstored';
    } elseif (stat($path)['mtime'] > $here) {
        $result = 'newer';
    } else {
        return rename($new, $path) ? 'restored' : 'unstored';
    }
    unlink($new);
    return $result;
}

/**
 * What becomes of these sessions, with a line for each that is worth one.
 *
 * @param list<array{string, string, int}> $batch
 * @return array{array<string, int>, list<string>} counts, lines
 */
function restore_all(array $batch, bool $stores): array
{
    $folder = (string) ini_get('session.save_path');
    $limit = time() - (int) ini_get('session.gc_maxlifetime'); // as collect_sessions.php has it
    [$counts, $lines] = [[], []];
    foreach ($batch as [$name, $data, $time]) {
        $result = $time < $limit ? 'expired' : restore("$folder/$name", $data, $time, $stores);
        $counts[$result] = ($counts[$result] ?? 0) + 1;
        if ($result === 'newer' || $result === 'unstored') {
            $lines[] = "$result " . substr(hash('sha256', substr($name, strlen('sess_'))), 0, 12);
        }
    }
    return [$counts, $lines];
}

/** Gives the cluster the key by which PHP knows its IDs. PHP's processes have read the one of before, and are to start anew. */
function restore_key(string $key): void
{
    $path = ini_get('session.save_path') . '/.php-cluster-id-key';
    if (@file_get_contents($path) !== $key && !rename(write_beside($path, $key, time()), $path)) {
        refuse("the key of the sessions' IDs cannot be stored");
    }
}

/** Waits for one of the processes, and takes its result. */
function end_one(array &$running, array &$counts): void
{
    $process = pcntl_wait($status);
    rewind($running[$process]);
    [$found, $lines] = json_decode((string) stream_get_contents($running[$process]), true) ?? [[], []];
    unset($running[$process]);
    pcntl_wifexited($status) || refuse('a process that stored sessions was killed');
    pcntl_wexitstatus($status) === 0 || exit(1); // it has said why
    foreach ($found as $result => $count) {
        $counts[$result] += $count;
    }
    echo implode(array_map(fn ($line) => "$line\n", $lines));
}

/** Has a process of its own see to a batch. */
function begin_one(array $batch, bool $stores, array &$running, array &$counts): void
{
    if (count($running) >= PROCESSES) {
        end_one($running, $counts);
    }
    // Not a pipe, which a process with much to say would wait at.
    $result = tmpfile();
    $process = pcntl_fork();
    if ($process === 0) {
        fwrite($result, json_encode(restore_all($batch, $stores)));
        exit(0);
    }
    $running[$process] = $result;
}

umask(0177);
$stores = ($argv[1] ?? '') === 'store';
// Of an interrupted run.
!$stores || array_map('unlink', glob(ini_get('session.save_path') . '/.php-cluster-import-*'));
$counts = ['restored' => 0, 'already' => 0, 'newer' => 0, 'expired' => 0, 'unstored' => 0];
[$running, $batch, $bytes] = [[], [], 0];
foreach (sessions() as [$name, $data, $time]) {
    if ($name === '.php-cluster-id-key') {
        !$stores || restore_key($data);
        continue;
    }
    preg_match('/^sess_[a-zA-Z0-9,-]+$/D', $name) === 1 || refuse('the backup has a session without an ID');
    $batch[] = [$name, $data, $time];
    $bytes += strlen($data);
    if (count($batch) === BATCH || $bytes > BATCH_BYTES) {
        begin_one($batch, $stores, $running, $counts);
        [$batch, $bytes] = [[], 0];
    }
}
begin_one($batch, $stores, $running, $counts);
while ($running !== []) {
    end_one($running, $counts);
}
echo json_encode($counts), "\n";
