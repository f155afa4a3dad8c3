<?php
// What the other pages share: a counter in the session. Nothing here knows that it is on a cluster.

declare(strict_types=1);

function counted(): int
{
    return $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
}

function visit(): int
{
    session_start();
    return counted();
}
