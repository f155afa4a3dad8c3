<?php
require dirname(__DIR__) . '/visit.php';
$count = visit();
$progress = $_SESSION['upload_progress_mine'] ?? [];
echo $count, ' ', json_encode([$progress['done'] ?? null, $progress['files'][0]['bytes_processed'] ?? null]);
