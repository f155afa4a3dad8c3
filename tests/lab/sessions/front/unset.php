<?php
session_start();
unset($_SESSION);
echo 'left alone';
