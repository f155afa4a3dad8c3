<?php
class Thing
{
    public $a = 1;
}

session_start();
$_SESSION['o'] = new Thing();
echo 'stored';
