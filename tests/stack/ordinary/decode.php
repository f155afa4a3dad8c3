<?php
// The code of an application has changed, and what is in the session does not fit it.
$version = $_GET['code'];
spl_autoload_register(static function (string $name) use ($version): void {
    match ($version) {
        'old' => eval("final class $name { public int \$n = 1; }"),
        'throws' => eval("final class $name { public function __wakeup() { throw new RuntimeException('by a page'); } }"),
        'fatal error' => there_is_no_such_function(),
        'exits' => exit('all is well'),
        'memory limit' => str_repeat('x', 1 << 30),
    };
});
ini_set('display_errors', 0);
setcookie('told', 'all is well');
session_start();
$_SESSION['cart'] ??= new Cart();
echo $_SESSION['cart']->n++;
