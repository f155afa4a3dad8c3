<?php
// What applications keep in a session.
spl_autoload_register(static function (string $name): void {
    eval("final class $name { public array \$held = []; private ?self \$me = null; }");
});
session_start();
if (!isset($_SESSION['object'])) {
    $held = ['text' => "a|b;\0\u{e9}", 'float' => 0.1, 'int' => PHP_INT_MIN, 'null' => null, 'list' => [[], [true]]];
    $_SESSION = ['object' => new Basket(), 'empty' => '', 'binary' => random_bytes(100)];
    $_SESSION['object']->held = $held;
    $_SESSION['same'] = $_SESSION['object'];
    $_SESSION['reference'] = &$_SESSION['empty'];
    $_SESSION['digest'] = md5(serialize($held) . $_SESSION['binary']);
    echo 'kept';
} else {
    $_SESSION['reference'] = 'changed';
    echo json_encode([
        $_SESSION['digest'] === md5(serialize($_SESSION['object']->held) . $_SESSION['binary']),
        $_SESSION['object'] === $_SESSION['same'],
        $_SESSION['empty'],
    ]);
    $_SESSION['reference'] = '';
}
