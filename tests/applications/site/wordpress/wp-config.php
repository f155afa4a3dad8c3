<?php
define('DB_NAME', 'wordpress');
define('DB_USER', getenv('DB_USER'));
define('DB_PASSWORD', getenv('DB_PASSWORD'));
define('DB_HOST', getenv('DB_HOST'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
// The same on all nodes, since they sign the cookies of those who are logged in.
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $name) {
    define($name . '_KEY', hash_hmac('sha256', $name . '_KEY', getenv('WP_SECRET')));
    define($name . '_SALT', hash_hmac('sha256', $name . '_SALT', getenv('WP_SECRET')));
}
$table_prefix = 'wp_';
// Releases come with pulumi up; machines of a test reach nothing outside.
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
if (!defined('ABSPATH')) {
    define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
