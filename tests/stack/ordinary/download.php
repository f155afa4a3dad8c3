<?php
// 200 MB with a memory limit of 32 MB; the last line tells what it took.
ini_set('memory_limit', '32M');
if (isset($_GET['session'])) {
    session_start();
    $_SESSION['downloads'] = ($_SESSION['downloads'] ?? 0) + 1;
    if ($_GET['session'] === 'closed') {
        session_write_close();
    }
}
$file = tmpfile();
ftruncate($file, 200 << 20);
while (ob_get_level() > 0) {
    ob_end_clean();
}
header('Content-Type: application/octet-stream');
readfile(stream_get_meta_data($file)['uri']);
echo memory_get_peak_usage() < 8 << 20 ? 'constant' : memory_get_peak_usage();
