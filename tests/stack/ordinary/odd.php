<?php
// What may become of $_SESSION in the hands of a page.
require __DIR__ . '/visit.php';
visit();
switch ($_GET['by']) {
    case 'unset':
        unset($_SESSION);
        break;
    case 'null':
        $_SESSION = null;
        break;
    case 'text':
        $_SESSION = 'text';
        break;
    case 'object':
        $_SESSION = new ArrayObject(['n' => 9]);
        break;
    case 'empty':
        $_SESSION = [];
        break;
    case 'a reference':
        $outside = 5;
        $_SESSION['n'] = &$outside;
        $outside = 6;
        break;
    case 'numbers as names':
        $_SESSION[7] = 'seven';
        break;
    case 'strange names':
        $_SESSION += ['!a' => 1, 'a b' => 2, '' => 3, "\u{e9}.[x]" => 4];
        break;
    case 'a change after its end':
        session_write_close();
        $_SESSION['n'] = 99;
        break;
}
echo 'done';
