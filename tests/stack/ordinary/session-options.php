<?php
// Options that a page gives to session_start().
require __DIR__ . '/visit.php';
match ($_GET['with']) {
    'no strict mode' => session_start(['use_strict_mode' => 0]),
    'read_and_close' => session_start(['read_and_close' => true]),
    'another name' => session_start(['name' => 'SHOP']),
    'no lazy_write' => session_start(['lazy_write' => 0]),
    'long ids' => session_start(['sid_length' => 128, 'sid_bits_per_character' => 6]),
    'a cookie of its own kind' => session_start([
        'cookie_lifetime' => 3600, 'cookie_path' => '/shop', 'cookie_secure' => 1, 'cookie_httponly' => 1,
        'cookie_samesite' => 'Strict',
    ]),
    'collection each time' => session_start(['gc_probability' => 1, 'gc_divisor' => 1]),
    'no cookie' => session_start(['use_cookies' => 0]),
};
echo counted();
