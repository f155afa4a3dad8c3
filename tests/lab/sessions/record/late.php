<?php
session_start();
register_shutdown_function(function () {
    $_SESSION['n'] = 100;
});
echo 'later';
