<?php
// Events as they come; the second one waits until the first has arrived.
header('Content-Type: text/event-stream');
header('X-Accel-Buffering: no');
if (isset($_GET['session'])) {
    session_start();
    session_write_close();
}
while (ob_get_level() > 0) {
    ob_end_flush();
}
echo "data: first\n\n";
flush();
sleep(5);
echo "data: second\n\n";
