<?php
// The session is open already.
require dirname(__DIR__) . '/visit.php';
echo session_status() === PHP_SESSION_ACTIVE ? counted() : 'not started';
