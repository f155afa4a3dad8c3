<?php
spl_autoload_register(function ($class) {
    throw new Exception("no $class");
});
try {
    session_start();
} catch (Exception $e) {
}
echo 'went on';
