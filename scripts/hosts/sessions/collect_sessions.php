<?php
// Removes sessions that nobody has used for session.gc_maxlifetime seconds. Runs on one node for the whole cluster.

declare(strict_types=1);

$removed = 0;
$limit = time() - (int) ini_get('session.gc_maxlifetime');
foreach (new FilesystemIterator((string) ini_get('session.save_path')) as $path => $entry) {
    if (!str_starts_with($entry->getFilename(), 'sess_')) {
        continue;
    }
    // Most are in use, and need not be opened to be known as such.
    if ((@filemtime($path) ?: PHP_INT_MAX) >= $limit) {
        continue;
    }
    $file = @fopen($path, 'r+b');
    if ($file === false) {
        continue;
    }
    // A session in use is locked, and is looked at again next time.
    if (flock($file, LOCK_EX | LOCK_NB)) {
        // Asked of the bricks now that the lock is held: what is known of an open file may be older.
        clearstatcache();
        $now = @stat($path);
        // It must still be the file that is locked: a change of profile puts another one in its place.
        if ($now !== false && $now['mtime'] < $limit && $now['ino'] === fstat($file)['ino'] && unlink($path)) {
            $removed++;
        }
    }
    fclose($file);
}
echo "removed $removed expired sessions\n";
