<?php
for ($i = 0; $i < 200; $i++) {
    echo str_repeat('x', 1 << 20);
}
error_log('peak ' . memory_get_peak_usage());
