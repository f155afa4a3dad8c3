<?php
session_start();
session_create_id();
usleep(2000);
echo $_SESSION['n'] = $_SESSION['n'] + 1;
