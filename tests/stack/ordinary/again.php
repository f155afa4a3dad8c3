<?php
// Uses PHP's functions on a session that is there.
require __DIR__ . '/visit.php';
visit();
switch ($_GET['by']) {
    case 'reset':
        $_SESSION['n'] = 99;
        session_reset();
        break;
    case 'abort':
        session_abort();
        break;
    case 'commit and start':
        session_commit();
        session_start();
        counted();
        break;
    case 'destroy and start':
        session_destroy();
        session_start();
        counted();
        break;
    case 'start twice':
        @session_start();
        break;
    case 'encode and decode':
        $text = session_encode();
        $_SESSION = [];
        session_decode($text);
        break;
    case 'unset':
        session_unset();
        counted();
        break;
    case 'gc':
        session_gc();
        break;
    case 'a new id by hand':
        session_write_close();
        ini_set('session.use_strict_mode', 0);
        session_id(session_create_id('shop-'));
        session_start();
        $_SESSION['n'] = 7;
        break;
    case 'two sessions':
        $first = session_id();
        session_commit();
        session_id("two-$first");
        ini_set('session.use_cookies', 0);
        ini_set('session.use_strict_mode', 0);
        session_start();
        $_SESSION['other'] = true;
        session_commit();
        session_id($first);
        session_start();
        break;
}
echo $_SESSION['n'];
