<?php
$cfg['blowfish_secret'] = hex2bin(getenv('PMA_SECRET'));
$cfg['Servers'][1] = [
    'host' => getenv('DB_HOST'),
    'auth_type' => 'cookie',
];
