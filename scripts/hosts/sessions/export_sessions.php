<?php
// Writes the sessions that live to standard output, as a tar archive: one file for each, `sessions/sess_ID`, with the data as
// PHP's serializer made it and the time from which it expires. That is no store's own format: import_sessions.php reads it
// into whatever store the cluster has. Visitors go on meanwhile. Each session is whole, as it was at one moment. With a word, only
// those of which the SHA-256 of the ID begins so.
//
// To standard error: a line for each session that cannot be read, then the counts as JSON.

declare(strict_types=1);

const MAGIC = 'PCSREC'; // docs/sessions.md has the format
const HEADER_SIZE = 56;
const PLAIN = '/^(a:\d+:\{.*}|[^|]+\|[abdisONCErR][:;].*[;}])$/sD';
const LOOKS = 100;
const ABSENT_LOOKS = 8;
const PAUSE_MICROSECONDS = 20_000;

/**
 * What a session's file holds.
 *
 * @return string|null|false its data; null: nobody's session; false: nothing that is whole
 */
function data_of(string $text): string|null|false
{
    if (!str_starts_with($text, MAGIC)) {
        // Zeros are room that was made for a record.
        $text = rtrim($text, "\0");
        return $text === '' ? null : (preg_match(PLAIN, $text) === 1 ? $text : false);
    }
    if (strlen($text) < HEADER_SIZE + 8) {
        return false;
    }
    ['length' => $length, 'sum' => $sum] = unpack('Jlength/Jsequence/a32sum', $text, 8);
    $kind = substr($text, strlen(MAGIC), 2);
    $offset = $kind === '02' ? unpack('J', $text, HEADER_SIZE)[1] : HEADER_SIZE;
    $data = substr($text, $offset, $length);
    if (hash('sha256', substr($text, 8, 16) . $data, true) !== $sum) {
        return false;
    }
    // What has only passed its visitor on to another ID is none.
    return $kind === '03' ? null : $data;
}

/**
 * A session as it is at one moment, with its time. A record's checksum tells that it is whole; a plain session is read under its lock.
 *
 * @return array{string, int}|null
 * @throws RuntimeException it cannot be read
 */
function session(string $path): ?array
{
    for ($look = 0; $look < LOOKS; $look++) {
        if ($look > 0) {
            usleep(PAUSE_MICROSECONDS);
        }
        clearstatcache();
        $file = @fopen($path, 'rb');
        if ($file === false) {
            // It has been collected. While bricks heal, Gluster may say so of one that is there.
            if ($look >= ABSENT_LOOKS && str_contains(error_get_last()['message'] ?? '', 'No such file')) {
                return null;
            }
            continue;
        }
        $before = fstat($file);
        $text = (string) @stream_get_contents($file);
        $locked = str_starts_with($text, MAGIC) || flock($file, LOCK_SH | LOCK_NB);
        if ($locked && !str_starts_with($text, MAGIC)) {
            rewind($file);
            $text = (string) @stream_get_contents($file);
        }
        $after = fstat($file);
        fclose($file);
        // What cannot be read looks empty to PHP, and an empty file is nobody's session.
        $whole = $before !== false && $after !== false && strlen($text) >= $after['size'] && $before['mtime'] === $after['mtime'];
        $data = data_of($text);
        if ($locked && $whole && $data !== false) {
            return $data === null ? null : [$data, $after['mtime']];
        }
    }
    throw new RuntimeException('it is no whole session, or its lock is held');
}

function header_of(string $name, int $size, int $time, string $type = '0'): string
{
    $header = pack('a100a8a8a8a12a12a8aa100a6a2a32a32a183', $name, '0000600', '0000000', '0000000', sprintf('%011o', $size),
        sprintf('%011o', $time), '        ', $type, '', 'ustar', '00', 'www-data', 'www-data', '');
    return substr_replace($header, sprintf("%06o\0 ", array_sum(unpack('C*', $header))), 148, 8);
}

function padded(string $text): string
{
    return str_pad($text, intdiv(strlen($text) + 511, 512) * 512, "\0");
}

function write(string $text): void
{
    for ($rest = $text; $rest !== ''; $rest = substr($rest, $written)) {
        $written = fwrite(STDOUT, $rest);
        if ($written === false || $written === 0) {
            fwrite(STDERR, "nobody takes the sessions\n");
            exit(1);
        }
    }
}

function write_file(string $name, string $text, int $time): void
{
    // An ID may be longer than tar's field for names.
    $long = strlen($name) < 100 ? '' : header_of('././@LongLink', strlen($name) + 1, 0, 'L') . padded("$name\0");
    write($long . header_of($name, strlen($text), $time) . padded($text));
}

$folder = (string) ini_get('session.save_path');
$names = scandir($folder);
if ($names === false) {
    fwrite(STDERR, "$folder cannot be listed\n");
    exit(1);
}
$counts = ['sessions' => 0, 'expired' => 0, 'unread' => 0];
$key = @file_get_contents("$folder/.php-cluster-id-key");
$wanted = $argv[1] ?? '';
if ($key !== false && $wanted === '') {
    write_file('sessions/.php-cluster-id-key', $key, time());
}
foreach (preg_grep('/^sess_/', $names) as $name) {
    $hash = hash('sha256', substr($name, strlen('sess_')));
    if (!str_starts_with($hash, $wanted)) {
        continue;
    }
    try {
        $found = session("$folder/$name");
    } catch (RuntimeException $problem) {
        fwrite(STDERR, 'session ' . substr($hash, 0, 12) . " is not in it: {$problem->getMessage()}\n");
        $counts['unread']++;
        continue;
    }
    if ($found === null) {
        continue;
    }
    [$data, $time] = $found;
    // As collect_sessions.php has it.
    if ($time < time() - (int) ini_get('session.gc_maxlifetime')) {
        $counts['expired']++;
        continue;
    }
    write_file("sessions/$name", $data, $time);
    $counts['sessions']++;
}
write(str_repeat("\0", 1024));
fwrite(STDERR, json_encode($counts) . "\n");
